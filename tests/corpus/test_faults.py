"""Sentences with faults that data.faulty=drop leaves out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.corpus.profile import profile_corpus
from stages.corpus.reading import open_corpus
from stages.corpus.splits import SplitParams
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import REST, Content, data_params, fill, jsonl, parquet, read

GOOD_SENTENCES = [f"w{n}" for n in range(400)]


def conll(*broken: str) -> str:
    """400 sentences of one word, and after every hundredth a broken one."""
    sentences = [f"{word}\tB-X\n\n" for word in GOOD_SENTENCES]
    for number, sentence in enumerate(broken):
        sentences.insert(100 * number + 100 + number, f"{sentence}\n\n")
    return "".join(sentences)


def records(write: Callable[[list[dict[str, list[str | None]]]], Content], **broken: list[str | None]) -> Content:
    """The same as records, of which the 101st is broken."""
    rows: list[dict[str, list[str | None]]] = [{"tokens": [word], "tags": ["B-X"]} for word in GOOD_SENTENCES]
    rows.insert(100, {"tokens": ["a", "b"], "tags": ["O", "O"], **broken})
    return write(rows)


def as_parquet(rows: list[dict[str, list[str | None]]]) -> bytes:
    return parquet({name: [row[name] for row in rows] for name in ("tokens", "tags")})


def as_csv(rows: list[dict[str, list[str | None]]]) -> str:
    return "tokens,tags\n" + "".join(f'"{row["tokens"]}","{row["tags"]}"\n' for row in rows)


def as_json(rows: list[dict[str, list[str | None]]]) -> str:
    return jsonl(*rows)


CASES: dict[str, tuple[str, Content, list[tuple[int, str]]]] = {
    "blank word": ("conll", conll("a\tO\n\u00a0\tO"), [(202, "a word of white space alone: '\\xa0'")]),
    "tag": ("conll", conll("a\tB_X"), [(201, "'B_X' is not a tag")]),
    "long word": ("conll", conll("x" * 1001 + "\tO"), [(201, "a word of over 1,000 characters")]),
    "line of other columns": ("conll", conll("a\tB-X\nb\nc\tI-X"), [(202, "needs 2 columns, has 1: 'b'")]),
    "all lines of other columns": ("conll", conll("a"), [(201, "needs 2 columns, has 1: 'a'")]),
    "several faults in each of two": (
        "conll",
        conll("a\n\u00a0\tO\nb", "c\tB-\nd"),
        [(201, "columns"), (203, "columns"), (406, "columns"), (202, "white space"), (405, "'B-' is not a tag")],
    ),
    "JSON record": ("jsonl", records(as_json, tags=["O"]), [(101, "2 tokens but 1 tags")]),
    "JSON string": ("jsonl", records(as_json, tokens=["a", "b\tc"]), [(101, "a word with a tab or line end in it")]),
    "Parquet row": ("parquet", records(as_parquet, tags=["O"]), [(101, "2 words but 1 tags")]),
    "Parquet null": ("parquet", records(as_parquet, tokens=[None, None]), [(101, "null"), (101, "null")]),
    "CSV row": ("csv", records(as_csv, tags=["O"]), [(102, "2 tokens but 1 tags")]),
}


@pytest.mark.parametrize("name", CASES)
def test_dropping_leaves_out_exactly_the_faulty_sentences(tmp_path: Path, name: str) -> None:
    suffix, content, faults = CASES[name]
    place = fill(tmp_path / "c", {**REST, f"train.{suffix}": content})
    diagnostics = Diagnostics()
    found = read(open_corpus(data_params(place, faulty="drop")), diagnostics)
    assert [sentence.words for sentence in found["train"]] == [(word,) for word in GOOD_SENTENCES]
    named = [each for each in diagnostics.kept if each.code == "dropped-from-train"]
    assert [each.where for each in named] == [f"{place}/train.{suffix}:{line}" for line, _ in faults]
    for each, (_, message) in zip(named, faults, strict=True):
        assert each.severity == "warning"
        assert each.message.startswith("left out: ")
        assert message in each.message
    sentences = 2 if name == "several faults in each of two" else 1
    assert diagnostics.counts["dropped-from-train"] == diagnostics.faulty == sentences


def profile(place: Path, **parameters: object) -> tuple[dict[str, int], Diagnostics]:
    """How many sentences of each split were left out, and all diagnostics."""
    diagnostics = Diagnostics()
    corpus = open_corpus(data_params(place, **parameters))
    found = profile_corpus(corpus, diagnostics, count_tokens=None, context="sentence", on_block=lambda _: None)
    return {name: split.dropped for name, split in found.splits.items()}, diagnostics


def test_what_is_dropped_is_counted_by_split(tmp_path: Path) -> None:
    place = fill(tmp_path / "c", {**REST, "train.conll": conll("a", "b\tB_X"), "test.conll": conll("c")})
    dropped, diagnostics = profile(place, faulty="drop")
    assert dropped == {"train": 2, "dev": 0, "test": 1}
    assert not diagnostics.of("error")


def test_what_would_have_been_cut_counts_as_dropped_from_train(tmp_path: Path) -> None:
    place = fill(tmp_path / "c", {"all.conll": conll("a", "b\tB_X")})
    dropped, _ = profile(place, faulty="drop", split=SplitParams(dev=0.2, test=0.2))
    assert dropped == {"train": 2, "dev": 0, "test": 0}


def test_more_than_one_in_a_hundred_is_refused_with_all_faults(tmp_path: Path) -> None:
    place = fill(tmp_path / "c", {**REST, "train.conll": conll(*["a\n\nb\tB_X"] * 4)})
    _, diagnostics = profile(place, faulty="drop")
    *faults, limit = [each.message for each in diagnostics.of("error")]
    assert limit == "8 of 412 sentences have faults, and data.faulty=drop leaves out 1% at most. Mend the text."
    assert len(faults) == 8
    assert not any(message.startswith("left out") for message in faults)


def test_refusing_says_how_to_drop_a_few(tmp_path: Path) -> None:
    few = fill(tmp_path / "few", {**REST, "train.conll": conll("a\nb", "b\tB_X")})
    _, diagnostics = profile(few)
    assert [each.message for each in diagnostics.of("error")][-1] == (
        "2 of 406 sentences have faults. Mend them, or leave these sentences out: --set data.faulty=drop"
    )
    many = fill(tmp_path / "many", {**REST, "train.conll": "a O\n\nb B_X\n"})
    _, diagnostics = profile(many)
    assert [each.code for each in diagnostics.of("error")] == ["tag"]


def test_a_file_that_cannot_be_read_is_never_dropped(tmp_path: Path) -> None:
    cut_off = parquet({"tokens": [["a"]], "tags": [["O"]]})[:-8]
    place = fill(tmp_path / "c", {"train.conll": conll(), "dev.parquet": cut_off, "test.jsonl": json.dumps([])})
    _, diagnostics = profile(place, faulty="drop")
    assert [each.code for each in diagnostics.of("error")][:1] == ["parquet"]
