"""The standard form preserves any corpus that can be read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.errors import CorpusError
from stages.tools import convert_corpus
from tests.checkouts import DEMO
from tests.corpus.conftest import content

TASK = "task: {name: token_classification}\n"


def convert(folder: Path, records: list[dict[str, Any]], name: str = "mine") -> str:
    """Convert a file of JSON Lines; return the standard form."""
    source = folder / "source.jsonl"
    source.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    params = folder / f"{name}.yaml"
    params.write_text(
        TASK + f"data: {{dir: {json.dumps(str(source))}, format: auto, words: auto, tags: auto, split: null}}\n"
    )
    convert_corpus.main(params)
    (file,) = (folder / name).iterdir()
    assert content(folder / name)["all"]
    return file.read_text(encoding="utf-8")


def sentence(*words: str, **fields: str) -> dict[str, Any]:
    return {"tokens": words, "tags": ["B-X", *["O"] * (len(words) - 1)], **fields}


@pytest.mark.parametrize("word", ['{"', "PKK", "PAR1", "\ufeffBonn", "#", "# newly", "New York", "\u2028x"])
def test_first_word_may_look_like_another_format(tmp_path: Path, word: str) -> None:
    convert(tmp_path, [sentence(word, "is"), sentence("a")])
    assert [words for words, _, _ in content(tmp_path / "mine")["all"]] == [(word, "is"), ("a",)]


def test_documents_stay_apart(tmp_path: Path) -> None:
    records = [sentence("a"), sentence("b"), *(sentence("c", doc=name) for name in "112"), sentence("d"), sentence("e")]
    standard = convert(tmp_path, records)
    assert content(tmp_path / "mine")["all"] == content(tmp_path / "source.jsonl")["all"]
    assert standard.count("-DOCSTART-") == 6  # two documents, and around them four sentences that belong to none


def test_sentence_that_is_a_document_mark_becomes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = {"tokens": ["-DOCSTART-"], "tags": ["O"]}
    assert convert(tmp_path, [mark, sentence("a"), sentence("b"), mark, mark, sentence("c")]) == (
        "-DOCSTART-\tO\n\na\tB-X\n\nb\tB-X\n\n-DOCSTART-\tO\n\nc\tB-X\n\n"
    )
    figures = json.loads(capsys.readouterr().out)["splits"]["all"]
    assert figures == {"sentences": 3, "words": 3, "documents": 2, "entities": {"X": 3}}


@pytest.mark.parametrize(
    "record", [sentence("a", "-DOCSTART-"), {"tokens": ["a"], "tags": ["B-X\tY"]}], ids=["mark in it", "tab in a type"]
)
def test_what_the_standard_form_cannot_hold_is_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    with pytest.raises(CorpusError, match="the standard form cannot hold this corpus"):
        convert(tmp_path, [sentence("b"), record])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml", "source.jsonl"]


@pytest.mark.parametrize("name", ["v1.2", "train", "notice-board"])
def test_name_of_a_corpus_never_names_a_split(tmp_path: Path, name: str) -> None:
    convert(tmp_path, [sentence("a")], name)
    assert [path.name for path in (tmp_path / name).iterdir()] == ["corpus.conll"]


def test_blocks_of_a_long_corpus_join_without_a_seam(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    text = (DEMO / "train.conll").read_text(encoding="utf-8") * 12
    sentences = text.split("\n\n")
    marked = "\n\n".join(f"-DOCSTART- O\n\n{s}" if generator.random() < 0.1 else s for s in sentences)
    (tmp_path / "source.conll").write_text(marked, encoding="utf-8")
    (tmp_path / "long.yaml").write_text(
        TASK + f"data: {{dir: {tmp_path}/source.conll, format: auto, words: auto, tags: auto, split: null}}\n"
    )
    convert_corpus.main(tmp_path / "long.yaml")
    assert content(tmp_path / "long") == content(tmp_path / "source.conll")
