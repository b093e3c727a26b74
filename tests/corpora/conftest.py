"""A real server of corpora, with all that a server can do wrong."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.checkouts import write_small_corpus

LETTERS = """-DOCSTART- -X- O

Alex NNP I-PER
Jones NNP I-PER
flew VBD O
to TO O
Rome NNP I-LOC
Paris NNP B-LOC

Nobody NN O
knew VBD O

-DOCSTART- -X- O

Bonn NNP I-LOC
was VBD O
quiet JJ O
"""


class Handler(SimpleHTTPRequestHandler):
    """A folder as `python -m http.server` shows it, with some paths that behave badly or ask for a login."""

    let_go = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/cut.conll":
            self.start(length=1000)
            self.wfile.write(b"Bonn B-LOC\n")
        elif self.path == "/slow.conll":
            self.start(length=1000)
            self.wfile.write(b"Bonn B-LOC\n")
            self.let_go.wait(60)
        elif "/datasets/owner/name" in self.path:
            self.answer_as_hub(*urlsplit(self.path).path.partition("/main")[::2])
        elif self.is_allowed():
            super().do_GET()

    def answer_as_hub(self, kind: str, path: str) -> None:
        """What hf:// asks the hub of a data set: which commit, what a folder holds, the bytes of a file."""
        place = Path(self.directory) / path.strip("/")
        if kind.endswith("/resolve"):
            content = place.read_bytes()
        elif kind.endswith("/tree"):
            content = json.dumps(
                [
                    {"type": "file", "oid": "0" * 40, "size": entry.stat().st_size, "path": name}
                    if entry.is_file()
                    else {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
                    for entry in place.iterdir()
                    for name in [str(entry.relative_to(self.directory))]
                ]
            ).encode()
        else:
            content = json.dumps({"id": "owner/name", "sha": "1" * 40}).encode()
        self.start(length=len(content))
        self.wfile.write(content)

    def do_HEAD(self) -> None:
        if self.path in ("/cut.conll", "/slow.conll"):
            self.start(length=1000)
        elif self.is_allowed():
            super().do_HEAD()

    def start(self, *, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def is_allowed(self) -> bool:
        if self.path == "/broken.conll":
            self.send_error(500)
        elif self.path.startswith("/locked/") and self.headers["Authorization"] != LOGIN:
            self.send_error(401)
        else:
            return True
        return False

    def log_message(self, *args: Any) -> None:
        pass


LOGIN = f"Basic {base64.b64encode(b'anna:topsecret').decode()}"


@dataclass(frozen=True)
class Site:
    """A web server and the folder that it shows."""

    folder: Path
    host: str

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    for name in ("press", "locked"):
        write_small_corpus(folder / name)
    (folder / "press/LICENSE").write_text("Do with it what you like.\n", encoding="utf-8")
    (folder / "press/README.md").write_text("read me\n", encoding="utf-8")
    (folder / "press/extra").mkdir()
    (folder / "press/extra/more.conll").write_text("Bonn B-LOC\n", encoding="utf-8")
    (folder / "empty/deep").mkdir(parents=True)
    (folder / "empty/deep/train.conll").write_text(LETTERS, encoding="utf-8")
    (folder / "old letters.conll").write_text(LETTERS, encoding="utf-8")
    (folder / "letters.conll.gz").write_bytes(gzip.compress(LETTERS.encode(), mtime=0))
    (folder / "bad.conll").write_text("Bonn B-LOC\nalone\nRome X-LOC\n", encoding="utf-8")
    (folder / "unknown.docx").write_text("Bonn B-LOC\n", encoding="utf-8")
    Handler.let_go.clear()  # of the module before
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(folder, f"127.0.0.1:{server.server_port}")
    Handler.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join(10)
