"""Imports from real servers and folders into a real project; a failed import leaves nothing behind."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages.artifacts import file_digest
from tests.conftest import Project
from tests.corpora.conftest import Site
from tests.corpus.conftest import content
from tests.processes import BIN, PATIENCE, free_port, wait_until


def provenance(project: Project, name: str) -> Any:
    return json.loads((project.folder / f"data/corpora/{name}/provenance.json").read_text(encoding="utf-8"))


def snapshot(project: Project) -> dict[str, bytes | None]:
    """Read all that an import may write to, except DVC's cache."""
    places = [project.folder / "data", project.folder / ".tuneline", project.folder / ".git/index"]
    paths = [path for place in places for path in ([place, *place.rglob("*")] if place.exists() else [])]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths if path.name != ".tuneline"}


# --- imports that succeed


def test_folder_by_http_becomes_a_corpus_tracked_by_dvc(project: Project, site: Site) -> None:
    imported = project.json("import", f"{site.url}/press", "press")
    folder = project.folder / "data/corpora/press"
    assert sorted(path.name for path in folder.iterdir()) == [
        "dev.conll", "provenance.json", "test.conll", "train.conll",
    ]  # fmt: skip
    assert content(folder) == content(site.folder / "press")

    assert (imported["path"], imported["dvc_file"], imported["scheme"]) == (
        "data/corpora/press",
        "data/corpora/press.dvc",
        "IOB2",
    )
    assert imported["source"] == f"{site.url}/press"
    checked = project.json("check", "data/corpora/press")
    for split in ("train", "dev", "test"):
        assert {key: checked["splits"][split][key] for key in imported["splits"][split]} == imported["splits"][split]

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


def test_local_folder_is_relative_to_the_users_folder(project: Project, tmp_path: Path) -> None:
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
    imported = json.loads(
        subprocess.run(
            [str(BIN / "tuneline"), "import", "../annotated/", "annotated", "--json"],
            cwd=project.folder / "stages",
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert content(project.folder / "data/corpora/annotated") == content(source)
    assert imported["splits"]["train"] == {"sentences": 3, "words": 6, "documents": 3, "entities": {"PER": 3}}
    record = provenance(project, "annotated")
    assert record["source"] == "../annotated/"
    assert sorted(record["files"]) == ["test.jsonl", "train/part-0.jsonl", "train/part-1.jsonl", "valid.jsonl"]


def test_folder_of_brat_is_imported_with_its_texts(project: Project, tmp_path: Path) -> None:
    source = tmp_path / "brat"
    source.mkdir()
    for name in ("a", "b"):
        (source / f"{name}.txt").write_text("😀 Angela in Bonn", encoding="utf-8")
        (source / f"{name}.ann").write_text("T1\tPER 3 9\tAngela\n", encoding="utf-8")
    imported = project.json("import", str(source), "brat", "--set", "data.offsets=utf16")
    assert imported["splits"] == {"all": {"sentences": 2, "words": 8, "documents": 2, "entities": {"PER": 2}}}
    assert provenance(project, "brat")["reading"]["offsets"] == "utf16"


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
    project = replace(project, real=True)  # huggingface_hub reads the variable when it is imported
    project.tuneline("import", "hf://datasets/owner/name/press", "hub", HF_ENDPOINT=site.url)
    assert content(project.folder / "data/corpora/hub") == content(site.folder / "press")
    assert provenance(project, "hub")["source"] == "hf://datasets/owner/name/press"
    assert provenance(project, "hub")["licence"] == "Do with it what you like.\n"


# --- imports that fail


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
        ("s3://bucket/x.conll", "new", "s3://bucket/x.conll cannot be fetched: Unable to locate credentials"),
        ("gs://bucket/x.conll", "new", "install gcsfs to access Google Storage"),
        ("gopher://host/x.conll", "new", "Protocol not known: gopher"),
        ("", "new", "the source is empty"),
        ("{url}/press", "taken", "data/corpora/taken exists already. Choose another name, or replace it with --force"),
        ("{url}/press", "demo", "data/corpora/demo is tracked by git"),
        ("{url}/press", "../new", "'../new' cannot name a corpus"),
        ("{url}/press", "new.dvc", "'new.dvc' cannot name a corpus"),
    ],
)
def test_import_refuses_with_one_message_and_leaves_nothing(
    project: Project, site: Site, source: str, name: str, message: str
) -> None:
    (project.folder / "data/corpora/taken").mkdir(exist_ok=True)
    before = snapshot(project)
    finished = project.tuneline("import", source.format(url=site.url, port=free_port()), name, code=2)
    assert message in finished.stderr
    assert finished.stderr.count("error:") == 1
    assert "Traceback" not in finished.stderr
    assert ".tuneline" not in finished.stderr
    assert finished.stdout == ""
    assert snapshot(project) == before


def test_train_and_test_with_decorated_words_become_plain_ones(project: Project, tmp_path: Path) -> None:
    for split, count in (("train", 60), ("test", 20)):
        text = "".join(f"de:w{n} B-X\nde:rains O\n\n" for n in range(count))
        (tmp_path / f"{split}.conll").write_text(text, encoding="utf-8")
    shown = " ".join(project.tuneline("import", str(tmp_path), "decorated").stdout.split())
    assert f"all 160 words begin with 'de:'. To strip it: tuneline import {tmp_path} decorated --force --set" in shown
    assert (
        "run --set data.dir=data/corpora/decorated --set register.name=decorated-ner --set 'data.split={dev: 0.1}'"
        in shown
    )
    setting = 'data.strip_prefix="de:"'
    imported = project.json("import", str(tmp_path), "decorated", "--force", "--set", setting)
    assert "word-prefix" not in {finding["code"] for finding in imported["findings"]}
    assert "w0\tB-X\nrains\tO\n" in (project.folder / "data/corpora/decorated/train.conll").read_text(encoding="utf-8")
    assert provenance(project, "decorated")["reading"]["strip_prefix"] == "de:"
    assert "strip_suffix" not in provenance(project, "decorated")["reading"]
    checked = project.json("check", "data/corpora/decorated", "--set", "data.split={dev: 0.1}")
    assert list(checked["splits"]) == ["train", "dev", "test"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.split={dev: 0.1, test: 0.1}", "--set takes only data.format, data.words, data.tags"),
        ("data.tags=7", "bad.conll: has 2 columns, and data.tags names column 7"),
        ("data.tags=0", "--set data.tags: Value error, columns count from 1"),
    ],
)
def test_import_refuses_settings(project: Project, site: Site, setting: str, message: str) -> None:
    before = snapshot(project)
    finished = project.tuneline("import", f"{site.url}/bad.conll", "new", "--set", setting, code=2)
    assert message in finished.stderr
    assert snapshot(project) == before


def test_server_that_stops_sending_is_given_up(project: Project, site: Site) -> None:
    before = snapshot(project)
    program = (
        "from pipeline.cli import main; from pipeline.corpora import download; download.READ_SECONDS = 0.5; main.main()"
    )
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
    assert snapshot(project) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_import_that_is_stopped_leaves_nothing(project: Project, site: Site, number: signal.Signals) -> None:
    before = snapshot(project)
    process = subprocess.Popen(
        [str(BIN / "tuneline"), "import", f"{site.url}/slow.conll", "new"],
        cwd=project.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: list((project.folder / ".tuneline").glob("import-*/source/slow.conll")), process=process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in stderr
    if number == signal.SIGKILL:
        assert snapshot(project) != before  # a killed process cannot clean up; the next import does
        project.tuneline("import", "nowhere", "new", code=2)
    else:
        assert process.returncode == 128 + number
        assert stderr == "stopped; nothing was imported\n"
    assert snapshot(project) == before


@pytest.mark.parametrize("name", ["unwelcome", "kept"])
def test_error_of_dvc_undoes_everything(project: Project, site: Site, name: str) -> None:
    excluded = project.folder / ".git/info/exclude"
    source = f"{site.url}/letters.conll.gz"
    words = ["import", source, name]
    if name == "kept":
        project.tuneline("import", f"{site.url}/press", name)
        words.append("--force")
    rules = excluded.read_text(encoding="utf-8")
    before = snapshot(project)
    excluded.write_text(f"{rules}\n/data/corpora/{name}.dvc\n", encoding="utf-8")
    finished = project.tuneline(*words, code=2)
    excluded.write_text(rules, encoding="utf-8")
    assert f"DVC cannot add data/corpora/{name}: " in finished.stderr
    assert "git-ignored" in finished.stderr
    assert snapshot(project) == before


# --- parts


def test_help_has_examples(project: Project) -> None:
    shown = re.sub(r"\s+", " ", project.tuneline("import", "--help", COLUMNS="120").stdout)
    for words in ("../annotations/letters.jsonl", "https://example.org", "hf://datasets/", "The standard form"):
        assert words in shown
