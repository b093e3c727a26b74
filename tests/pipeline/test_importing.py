"""Corpora from real servers and folders come into a real project; what cannot come leaves nothing behind."""

import base64
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from pipeline.fetching import DATA_EXTENSIONS, SPLIT_FOLDERS, recorded, without_credentials
from stages import convert_corpus
from stages.artifacts import file_digest
from stages.corpus.findings import Findings
from stages.corpus.folder import ALIASES, FORMATS
from stages.corpus.reading import DataParams, open_corpus
from stages.corpus.schemes import TagReader, spans
from stages.errors import CorpusError
from tests.conftest import BIN, DEMO, Project, free_port, write_small_corpus

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

Tagged = tuple[tuple[str, ...], tuple[tuple[int, int, str], ...], int]


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
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(folder, f"127.0.0.1:{server.server_port}")
    Handler.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


def content(place: Path) -> dict[str, list[Tagged]]:
    """The sentences of each split: words, entities, and which document of the split it is of."""
    corpus = open_corpus(
        DataParams(dir=str(place), format="auto", words="auto", tags="auto", split=None), allow_unsplit=True
    )
    findings, reader = Findings(), TagReader()
    found: dict[str, list[Tagged]] = {split: [] for split in corpus.splits}
    documents: dict[str, list[object]] = {split: [object()] for split in corpus.splits}
    for block, split_S in corpus.blocks(findings):
        entities = reader.read(block)
        names = list(reader.types)
        edges = [
            (int(start), int(end), names[entities.types[start]]) for start, end in zip(*spans(entities), strict=True)
        ]
        for number, sentence in enumerate(block.sentences()):
            first, end = map(int, block.offsets[number : number + 2])
            inside = []
            while edges and edges[0][0] < end:
                start, stop, kind = edges.pop(0)
                inside.append((start - first, stop - first, kind))
            split = corpus.splits[split_S[number]]
            document = block.documents[number]
            key = (block.source, int(document)) if document >= 0 else object()
            if key != documents[split][-1]:
                documents[split].append(key)
            found[split].append((sentence.words, tuple(inside), len(documents[split]) - 1))
    assert findings.of("error") == []
    return found


def provenance(project: Project, name: str) -> Any:
    return json.loads((project.folder / f"data/corpora/{name}/provenance.json").read_text(encoding="utf-8"))


def left(project: Project) -> dict[str, bytes | None]:
    """All that an import may write to, but for DVC's cache."""
    places = [project.folder / "data", project.folder / ".tuneline", project.folder / ".git/index"]
    paths = [path for place in places for path in ([place, *place.rglob("*")] if place.exists() else [])]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths if path.name != ".tuneline"}


# --- what comes


def test_folder_by_http_becomes_a_corpus_that_dvc_keeps(project: Project, site: Site) -> None:
    told = project.json("import", f"{site.url}/press", "press")
    folder = project.folder / "data/corpora/press"
    assert sorted(path.name for path in folder.iterdir()) == [
        "dev.conll", "provenance.json", "test.conll", "train.conll",
    ]  # fmt: skip
    assert content(folder) == content(site.folder / "press")

    assert (told["path"], told["dvc_file"], told["scheme"]) == ("data/corpora/press", "data/corpora/press.dvc", "IOB2")
    assert told["source"] == f"{site.url}/press"
    checked = project.json("check", "data/corpora/press")
    for split in ("train", "dev", "test"):
        assert {key: checked["splits"][split][key] for key in told["splits"][split]} == told["splits"][split]

    assert provenance(project, "press") == {
        "format_version": 1,
        "source": f"{site.url}/press",
        "files": {
            name: {"sha256": file_digest(path), "bytes": path.stat().st_size}
            for name in ("LICENSE", "dev.conll", "test.conll", "train.conll")
            for path in [site.folder / "press" / name]
        },
        "reading": {"format": "auto", "words": "auto", "tags": "auto"},
        "scheme": "IOB2",
        "licence": "Do with it what you like.\n",
    }

    changes = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project.folder, capture_output=True, text=True, check=True
    ).stdout
    assert changes.splitlines() == ["?? data/corpora/.gitignore", "?? data/corpora/press.dvc"]
    assert "up to date" in project.command("dvc", "status", "data/corpora/press.dvc").stdout
    assert set(project.json("status")["stages"]) == {"tokenize", "train", "evaluate", "register"}


def test_file_by_http_is_put_into_the_standard_form(project: Project, site: Site) -> None:
    shown = project.tuneline("import", f"{site.url}/old%20letters.conll?download=1&token=abc", "letters").stdout
    standard = (project.folder / "data/corpora/letters/corpus.conll").read_text(encoding="utf-8")
    assert standard == (
        "-DOCSTART-\tO\n\nAlex\tB-PER\nJones\tI-PER\nflew\tO\nto\tO\nRome\tB-LOC\nParis\tB-LOC\n\n"
        "Nobody\tO\nknew\tO\n\n-DOCSTART-\tO\n\nBonn\tB-LOC\nwas\tO\nquiet\tO\n\n"
    )
    assert content(project.folder / "data/corpora/letters") == content(site.folder / "old letters.conll")
    record = provenance(project, "letters")
    assert record["source"] == f"{site.url}/old%20letters.conll?download=1"
    assert (list(record["files"]), record["scheme"], record["licence"]) == (["old letters.conll"], "IOB1", None)
    for command in (
        "check data/corpora/letters",
        "git add data/corpora/letters.dvc data/corpora/.gitignore",
        "run --set data.dir=data/corpora/letters --set register.name=letters-ner "
        "--set 'data.split={dev: 0.1, test: 0.1}'",
    ):
        assert command in shown
    assert "data.split={dev" not in shown.partition("Next:")[0]


def test_local_folder_from_where_the_user_stands(project: Project, tmp_path: Path) -> None:
    source = project.folder / "annotated"
    (tmp_path / "elsewhere").mkdir()
    source.mkdir()
    (source / "train").symlink_to(tmp_path / "elsewhere")
    record = {"doc_id": "a", "tokens": ["Angela", "{"], "tags": ["B-PER", "O"]}
    shards = [[record, record | {"doc_id": "b"}], [record | {"doc_id": "c"}]]
    for number, records in enumerate(shards):
        (source / f"train/part-{number}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    for split in ("valid", "test"):
        (source / f"{split}.jsonl").write_text('{"text": "PK is #1", "label": [[0, 2, "ORG"]]}\n')
    told = json.loads(
        subprocess.run(
            [str(BIN / "tuneline"), "import", "../annotated/", "annotated", "--json"],
            cwd=project.folder / "stages",
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert content(project.folder / "data/corpora/annotated") == content(source)
    assert told["splits"]["train"] == {"sentences": 3, "words": 6, "documents": 3, "entities": {"PER": 3}}
    record = provenance(project, "annotated")
    assert record["source"] == "../annotated/"
    assert sorted(record["files"]) == ["test.jsonl", "train/part-0.jsonl", "train/part-1.jsonl", "valid.jsonl"]


def test_import_again_gives_the_same_bytes_and_records_how_it_was_read(
    project: Project, site: Site, tmp_path: Path
) -> None:
    licence = tmp_path / "terms"
    licence.write_text("CC BY 4.0\n", encoding="utf-8")
    source = site.folder / "letters.conll.gz"  # an absolute path says nothing on another machine
    words = ("import", str(source), "packed", "--set", "data.tags=3", "--licence", str(licence))
    first = project.json(*words)
    before = {path.name: path.read_bytes() for path in (project.folder / "data/corpora/packed").iterdir()}
    dvc_file = (project.folder / "data/corpora/packed.dvc").read_bytes()
    (project.folder / "data/corpora/packed/stray.txt").write_text("mine")
    second = project.json(*words, "--force")
    assert first == second
    assert {path.name: path.read_bytes() for path in (project.folder / "data/corpora/packed").iterdir()} == before
    assert (project.folder / "data/corpora/packed.dvc").read_bytes() == dvc_file
    record = provenance(project, "packed")
    assert record["source"] == "letters.conll.gz"
    assert record["reading"] == {"format": "auto", "words": "auto", "tags": 3}
    assert record["licence"] == "CC BY 4.0\n"
    assert not list((project.folder / "data/corpora").glob(".*.part"))


def test_login_is_used_but_not_recorded(project: Project, site: Site) -> None:
    finished = project.tuneline("import", f"http://anna:topsecret@{site.host}/locked/", "locked", "--licence", "MIT")
    record = provenance(project, "locked")
    assert (record["source"], record["licence"]) == (f"{site.url}/locked/", "MIT")
    assert "topsecret" not in finished.stdout + finished.stderr + json.dumps(record)


def test_folder_of_the_hugging_face_hub(project: Project, site: Site) -> None:
    project.tuneline("import", "hf://datasets/owner/name/press", "hub", HF_ENDPOINT=site.url)
    assert content(project.folder / "data/corpora/hub") == content(site.folder / "press")
    assert provenance(project, "hub")["source"] == "hf://datasets/owner/name/press"
    assert provenance(project, "hub")["licence"] == "Do with it what you like.\n"


# --- what does not


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("{url}/nothing.conll", "new", "nothing.conll cannot be fetched: the server answers 404"),
        ("{url}/broken.conll", "new", "broken.conll cannot be fetched: the server answers 500"),
        ("{url}/cut.conll", "new", "cut.conll cannot be fetched: "),
        ("{url}/locked/", "new", "the server answers 401"),
        ("http://127.0.0.1:{port}/x.conll", "new", "x.conll cannot be fetched: Cannot connect to host"),
        ("http://nowhere.invalid/x.conll", "new", "x.conll cannot be fetched: Cannot connect to host"),
        ("{url}/empty", "new", "It holds folders, of which one may be meant: deep."),
        ("{url}/unknown.docx", "new", "unknown.docx: ends in none of"),
        ("{url}/bad.conll", "new", "bad.conll:2: needs 2 columns, has 1: 'alone'"),
        ("nowhere/x.conll", "new", "nowhere/x.conll cannot be fetched: no such file or folder"),
        ("s3://bucket/x.conll", "new", "Install s3fs to access S3"),
        ("gopher://host/x.conll", "new", "Protocol not known: gopher"),
        ("", "new", "the source is empty"),
        ("{url}/press", "taken", "data/corpora/taken exists already. Choose another name, or replace it with --force"),
        ("{url}/press", "demo", "data/corpora/demo is kept by git"),
        ("{url}/press", "../new", "'../new' cannot name a corpus"),
        ("{url}/press", "new.dvc", "'new.dvc' cannot name a corpus"),
    ],
)
def test_import_refuses_with_one_message_and_leaves_nothing(
    project: Project, site: Site, source: str, name: str, message: str
) -> None:
    (project.folder / "data/corpora/taken").mkdir(exist_ok=True)
    before = left(project)
    finished = project.tuneline("import", source.format(url=site.url, port=free_port()), name, code=2)
    assert message in finished.stderr
    assert finished.stderr.count("error:") == 1
    assert "Traceback" not in finished.stderr
    assert ".tuneline" not in finished.stderr
    assert finished.stdout == ""
    assert left(project) == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.split={dev: 0.1, test: 0.1}", "data.format, data.words, data.tags, nothing else"),
        ("data.tags=7", "bad.conll: has 2 columns, and data.tags names column 7"),
        ("data.tags=0", "--set data.tags: Value error, columns count from 1"),
    ],
)
def test_import_refuses_settings(project: Project, site: Site, setting: str, message: str) -> None:
    before = left(project)
    finished = project.tuneline("import", f"{site.url}/bad.conll", "new", "--set", setting, code=2)
    assert message in finished.stderr
    assert left(project) == before


def test_server_that_falls_silent_is_given_up(project: Project, site: Site) -> None:
    before = left(project)
    program = "from pipeline import cli, fetching; fetching.SILENCE_SECONDS = 0.5; cli.main()"
    finished = subprocess.run(
        [sys.executable, "-c", program, "import", f"{site.url}/slow.conll", "new"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert "slow.conll cannot be fetched: no answer within 0.5 s" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert left(project) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_import_that_is_stopped_leaves_nothing(project: Project, site: Site, number: signal.Signals) -> None:
    before = left(project)
    process = subprocess.Popen(
        [str(BIN / "tuneline"), "import", f"{site.url}/slow.conll", "new"],
        cwd=project.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((project.folder / ".tuneline").glob("import-*/source/slow.conll")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    if number == signal.SIGKILL:
        assert left(project) != before  # there was nobody left to tidy up, so the next import does it
        project.tuneline("import", "nowhere", "new", code=2)
    else:
        assert process.returncode == 130
        assert said == "stopped; nothing was imported\n"
    assert left(project) == before


@pytest.mark.parametrize("name", ["unwelcome", "kept"])
def test_refusal_of_dvc_undoes_all(project: Project, site: Site, name: str) -> None:
    excluded = project.folder / ".git/info/exclude"
    source = f"{site.url}/letters.conll.gz"
    words = ["import", source, name]
    if name == "kept":
        project.tuneline("import", f"{site.url}/press", name)
        words.append("--force")
    rules = excluded.read_text(encoding="utf-8")
    before = left(project)
    excluded.write_text(f"{rules}\n/data/corpora/{name}.dvc\n", encoding="utf-8")
    finished = project.tuneline(*words, code=2)
    excluded.write_text(rules, encoding="utf-8")
    assert f"DVC does not take data/corpora/{name}: " in finished.stderr
    assert "git-ignored" in finished.stderr
    assert left(project) == before


# --- its parts


@pytest.mark.parametrize(
    ("source", "shown", "kept"),
    [
        ("data/x.conll", "data/x.conll", "data/x.conll"),
        ("/home/anna/x.conll", "/home/anna/x.conll", "x.conll"),
        ("file:///home/anna/corpus/", "file:///home/anna/corpus/", "corpus"),
        ("~/corpus", "~/corpus", "corpus"),
        ("https://anna:pw@host:80/a@b/x", "https://host:80/a@b/x", "https://host:80/a@b/x"),
        ("https://host/x?id=3&X-Amz-Signature=f&api_key=k", "https://host/x?id=3", "https://host/x?id=3"),
        ("https://host/x?token=t", "https://host/x", "https://host/x"),
        ("hf://datasets/a/b@main/c", "hf://datasets/a/b@main/c", "hf://datasets/a/b@main/c"),
        ("github://owner:repo@main/x", "github://owner:repo@main/x", "github://owner:repo@main/x"),
        ("zip://a.conll::/home/anna/c.zip", "zip://a.conll::/home/anna/c.zip", "zip://a.conll::c.zip"),
        (
            "zip://a.conll::https://t@host/c.zip",
            "zip://a.conll::https://host/c.zip",
            "zip://a.conll::https://host/c.zip",
        ),
    ],
)
def test_recorded_source_tells_neither_secrets_nor_this_machine(source: str, shown: str, kept: str) -> None:
    assert without_credentials(source) == shown
    assert recorded(source) == kept


def test_names_of_data_are_those_that_the_readers_know() -> None:
    assert set(DATA_EXTENSIONS) == set(FORMATS)
    assert set(SPLIT_FOLDERS) == set(ALIASES)


def converted(folder: Path, records: list[dict[str, Any]], name: str = "mine") -> str:
    """The standard form of a file of JSON Lines."""
    source = folder / "source.jsonl"
    source.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    params = folder / f"{name}.yaml"
    params.write_text(f"data: {{dir: {json.dumps(str(source))}, format: auto, words: auto, tags: auto, split: null}}\n")
    convert_corpus.main(params)
    (file,) = (folder / name).iterdir()
    assert content(folder / name)["all"]
    return file.read_text(encoding="utf-8")


def sentence(*words: str, **fields: str) -> dict[str, Any]:
    return {"tokens": words, "tags": ["B-X", *["O"] * (len(words) - 1)], **fields}


@pytest.mark.parametrize("word", ['{"', "PKK", "PAR1", "\ufeffBonn", "#", "# newly", "New York", "\u2028x"])
def test_first_word_is_no_trap(tmp_path: Path, word: str) -> None:
    converted(tmp_path, [sentence(word, "is"), sentence("a")])
    assert [words for words, _, _ in content(tmp_path / "mine")["all"]] == [(word, "is"), ("a",)]


def test_documents_stay_apart(tmp_path: Path) -> None:
    records = [sentence("a"), sentence("b"), *(sentence("c", doc=name) for name in "112"), sentence("d"), sentence("e")]
    standard = converted(tmp_path, records)
    assert content(tmp_path / "mine")["all"] == content(tmp_path / "source.jsonl")["all"]
    assert standard.count("-DOCSTART-") == 6  # two documents, and around them four sentences that are of none


def test_sentence_that_is_a_document_mark_becomes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = {"tokens": ["-DOCSTART-"], "tags": ["O"]}
    assert converted(tmp_path, [mark, sentence("a"), sentence("b"), mark, mark, sentence("c")]) == (
        "-DOCSTART-\tO\n\na\tB-X\n\nb\tB-X\n\n-DOCSTART-\tO\n\nc\tB-X\n\n"
    )
    figures = json.loads(capsys.readouterr().out)["splits"]["all"]
    assert figures == {"sentences": 3, "words": 3, "documents": 2, "entities": {"X": 3}}


@pytest.mark.parametrize(
    "record", [sentence("a", "-DOCSTART-"), {"tokens": ["a"], "tags": ["B-X\tY"]}], ids=["mark in it", "tab in a type"]
)
def test_what_the_standard_form_cannot_hold_is_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    with pytest.raises(CorpusError, match="the standard form cannot hold this corpus"):
        converted(tmp_path, [sentence("b"), record])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml", "source.jsonl"]


@pytest.mark.parametrize("name", ["v1.2", "train", "notice-board"])
def test_name_of_a_corpus_never_names_a_split(tmp_path: Path, name: str) -> None:
    converted(tmp_path, [sentence("a")], name)
    assert [path.name for path in (tmp_path / name).iterdir()] == ["corpus.conll"]


def test_blocks_of_a_long_corpus_join_without_a_seam(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    text = (DEMO / "train.conll").read_text(encoding="utf-8") * 12
    sentences = text.split("\n\n")
    marked = "\n\n".join(f"-DOCSTART- O\n\n{s}" if generator.random() < 0.1 else s for s in sentences)
    (tmp_path / "source.conll").write_text(marked, encoding="utf-8")
    (tmp_path / "long.yaml").write_text(
        f"data: {{dir: {tmp_path}/source.conll, format: auto, words: auto, tags: auto, split: null}}\n"
    )
    convert_corpus.main(tmp_path / "long.yaml")
    assert content(tmp_path / "long") == content(tmp_path / "source.conll")


def test_help_teaches(project: Project) -> None:
    shown = re.sub(r"\s+", " ", project.tuneline("import", "--help", **{**os.environ, "COLUMNS": "120"}).stdout)
    for words in ("../annotations/letters.jsonl", "https://example.org", "hf://datasets/", "The standard form"):
        assert words in shown
