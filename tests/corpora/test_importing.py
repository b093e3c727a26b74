"""Imports from real servers and folders into a real project, and what is recorded of them."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.artifacts import file_digest
from tests.checkouts import Project
from tests.corpora.conftest import Site
from tests.corpus.conftest import content


def provenance(project: Project, name: str) -> Any:
    return json.loads((project.folder / f"data/corpora/{name}/provenance.json").read_text(encoding="utf-8"))


def test_folder_by_http_becomes_a_corpus_tracked_by_dvc(project: Project, site: Site) -> None:
    imported = project.call_json("import", f"{site.url}/press", "press")
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
    checked = project.call_json("check", "data/corpora/press")
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
    assert set(project.call_json("status")["stages"]) == {"tokenize", "train", "evaluate", "register"}


def test_file_by_http_is_put_into_the_standard_form(project: Project, site: Site) -> None:
    shown = project.call("import", f"{site.url}/old%20letters.conll?download=1&token=abc", "letters").stdout
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
    imported = Project(project.folder / "stages").call_json("import", "../annotated/", "annotated")
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
    imported = project.call_json("import", str(source), "brat", "--set", "data.offsets=utf16")
    assert imported["splits"] == {"all": {"sentences": 2, "words": 8, "documents": 2, "entities": {"PER": 2}}}
    assert provenance(project, "brat")["reading"]["offsets"] == "utf16"


def test_texts_are_imported_for_the_pipeline_of_the_folder(project: Project, tmp_path: Path) -> None:
    source = tmp_path / "tickets.jsonl"
    source.write_text(
        '{"text": "The train was late.", "labels": ["delay", "travel"]}\n{"text": "Nothing to say.", "labels": []}\n'
    )
    topics = Project(project.folder / "examples/topics")
    imported = topics.call_json("import", str(source), "tickets")
    assert imported["splits"]["all"]["labels"] == {"delay": 1, "travel": 1}
    assert file_digest(project.folder / "data/corpora/tickets/tickets.jsonl") == file_digest(source)
    assert provenance(project, "tickets")["reading"] == {
        "format": "auto", "text": "auto", "label": "auto", "multi_label": True
    }  # fmt: skip
    settings = ("--set", "data.label=auto", "--set", "data.slices=[]")
    assert topics.call_json("check", "../../data/corpora/tickets", *settings)["labels"] == ["delay", "travel"]


def test_import_again_gives_the_same_bytes_and_records_how_it_was_read(
    project: Project, site: Site, tmp_path: Path
) -> None:
    licence = tmp_path / "terms"
    licence.write_text("CC BY 4.0\n", encoding="utf-8")
    source = site.folder / "letters.conll.gz"  # an absolute path says nothing on another machine
    words = ("import", str(source), "packed", "--set", "data.tags=3", "--licence", str(licence))
    first = project.call_json(*words)
    before = {path.name: path.read_bytes() for path in (project.folder / "data/corpora/packed").iterdir()}
    dvc_file = (project.folder / "data/corpora/packed.dvc").read_bytes()
    (project.folder / "data/corpora/packed/stray.txt").write_text("mine")
    second = project.call_json(*words, "--force")
    assert first == second
    assert {path.name: path.read_bytes() for path in (project.folder / "data/corpora/packed").iterdir()} == before
    assert (project.folder / "data/corpora/packed.dvc").read_bytes() == dvc_file
    record = provenance(project, "packed")
    assert record["source"] == "letters.conll.gz"
    assert record["reading"] == {"format": "auto", "words": "auto", "tags": 3}
    assert record["licence"] == "CC BY 4.0\n"
    assert not list((project.folder / "data/corpora").glob(".*.part"))


def test_login_is_used_but_not_recorded(project: Project, site: Site) -> None:
    finished = project.call("import", f"http://anna:topsecret@{site.host}/locked/", "locked", "--licence", "MIT")
    record = provenance(project, "locked")
    assert (record["source"], record["licence"]) == (f"{site.url}/locked/", "MIT")
    assert "topsecret" not in finished.stdout + finished.stderr + json.dumps(record)


def test_folder_of_the_hugging_face_hub(project: Project, site: Site) -> None:
    project = replace(project, real=True)  # huggingface_hub reads the variable when it is imported
    project.tuneline("import", "hf://datasets/owner/name/press", "hub", HF_ENDPOINT=site.url)
    assert content(project.folder / "data/corpora/hub") == content(site.folder / "press")
    assert provenance(project, "hub")["source"] == "hf://datasets/owner/name/press"
    assert provenance(project, "hub")["licence"] == "Do with it what you like.\n"


def test_train_and_test_with_decorated_words_become_plain_ones(project: Project, tmp_path: Path) -> None:
    for split, count in (("train", 60), ("test", 20)):
        text = "".join(f"de:w{n} B-X\nde:rains O\n\n" for n in range(count))
        (tmp_path / f"{split}.conll").write_text(text, encoding="utf-8")
    shown = " ".join(project.call("import", str(tmp_path), "decorated").stdout.split())
    assert f"all 160 words begin with 'de:'. To strip it: tuneline import {tmp_path} decorated --force --set" in shown
    assert (
        "run --set data.dir=data/corpora/decorated --set register.name=decorated-ner --set 'data.split={dev: 0.1}'"
        in shown
    )
    setting = 'data.strip_prefix="de:"'
    imported = project.call_json("import", str(tmp_path), "decorated", "--force", "--set", setting)
    assert "word-prefix" not in {finding["code"] for finding in imported["findings"]}
    assert "w0\tB-X\nrains\tO\n" in (project.folder / "data/corpora/decorated/train.conll").read_text(encoding="utf-8")
    assert provenance(project, "decorated")["reading"]["strip_prefix"] == "de:"
    assert "strip_suffix" not in provenance(project, "decorated")["reading"]
    checked = project.call_json("check", "data/corpora/decorated", "--set", "data.split={dev: 0.1}")
    assert list(checked["splits"]) == ["train", "dev", "test"]


def test_help_has_examples(project: Project) -> None:
    shown = re.sub(r"\s+", " ", project.call("import", "--help", COLUMNS="120").stdout)
    for words in ("../annotations/letters.jsonl", "https://example.org", "hf://datasets/", "the standard form"):
        assert words in shown
