"""Spans whose offsets count UTF-16 code units or bytes: refused with the setting that reads them, and read with it."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.annotations.offsets import WIDTHS, Unit, to_characters
from stages.corpus.annotations.spans import Span, SpanError
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import fill, jsonl, pairs, read_file

ENCODINGS: dict[Unit, tuple[str, int]] = {
    "characters": ("utf-32-le", 4),
    "utf16": ("utf-16-le", 2),
    "bytes": ("utf-8", 1),
}
TEXTS = st.text(st.sampled_from("aé中😀 \n\u200d"), max_size=12)
NAMES = {"characters": "characters", "utf16": "UTF-16 code units", "bytes": "bytes of UTF-8"}


def offset(text: str, place: int, unit: Unit) -> int:
    """Where a character stands, in the unit, by Python's own codecs."""
    encoding, width = ENCODINGS[unit]
    return len(text[:place].encode(encoding)) // width


def doccano(text: str, *words: str, unit: Unit) -> dict[str, Any]:
    """A record in which these words are places, with offsets in the unit."""
    starts = [text.index(word) for word in words]
    spans = [
        [offset(text, start, unit), offset(text, start + len(word), unit), "LOC"]
        for word, start in zip(words, starts, strict=True)
    ]
    return {"text": text, "label": spans}


@pytest.mark.parametrize("unit", WIDTHS)
@given(text=TEXTS, edges=st.lists(st.integers(0, 12), min_size=2, max_size=2))
def test_offsets_in_each_unit_become_characters(text: str, edges: list[int], unit: Unit) -> None:
    start, end = sorted(min(edge, len(text)) for edge in edges)
    span = Span(offset(text, start, unit), offset(text, end, unit), "X")
    assert list(to_characters(text, [span], unit)) == [Span(start, end, "X")]


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (Span(1, 2, "X"), "begins or ends inside a character; are its offsets UTF-16 code units?"),
        (Span(0, 9, "X"), "leaves the text of 4 UTF-16 code units"),
        (Span(-1, 2, "X"), "leaves the text of 4 UTF-16 code units"),
    ],
)
def test_offsets_between_characters_are_refused(span: Span, message: str) -> None:
    with pytest.raises(SpanError, match=message):
        to_characters("😀ab", [span], "utf16")


@pytest.mark.parametrize(("given_unit", "unit"), list(permutations(NAMES, 2)))
def test_offsets_that_fit_another_unit_are_refused_with_the_setting(
    tmp_path: Path, given_unit: Unit, unit: Unit
) -> None:
    records = [
        doccano("It rains in Ulm", "Ulm", unit=unit),  # the same in all units
        doccano("😀 Köln is in Europe today", "Köln", "Europe", unit=unit),
        doccano("😀😀 Bonn is near Köln, they say", "Bonn", "Köln", unit=unit),
    ]
    path = fill(tmp_path, {"x.jsonl": jsonl(*records)}) / "x.jsonl"
    diagnostics = Diagnostics()
    read_file(path, diagnostics, offsets=given_unit)
    assert [(found.severity, found.where, found.message) for found in diagnostics.kept] == [
        (
            "error",
            f"{path}:2",
            f"in 2 texts, of which this is the first, spans miss the words if their offsets count {NAMES[given_unit]}, "
            f"and meet them if they count {NAMES[unit]}: --set data.offsets={unit}",
        )
    ]
    sentences = pairs(read_file(path, offsets=unit))
    assert [[word for word, tag in sentence if tag == "B-LOC"] for sentence in sentences] == [
        ["Ulm"], ["Köln", "Europe"], ["Bonn", "Köln"]
    ]  # fmt: skip


def test_texts_that_say_what_their_spans_are_show_the_unit(tmp_path: Path) -> None:
    value = {"start": 3, "end": 16, "text": "Angela Merkel", "labels": ["PER"]}
    task = {"data": {"text": "😀 Angela Merkel in Bonn"}, "annotations": [{"result": [{"value": value}]}]}
    path = fill(tmp_path, {"x.json": json.dumps([task])}) / "x.json"
    diagnostics = Diagnostics()
    read_file(path, diagnostics)
    assert ["--set data.offsets=utf16" in found.message for found in diagnostics.kept] == [True]
    assert pairs(read_file(path, offsets="utf16"))[0][:3] == [("😀", "O"), ("Angela", "B-PER"), ("Merkel", "I-PER")]


def test_one_text_of_many_that_fits_another_unit_is_a_warning(tmp_path: Path) -> None:
    records = [doccano(f"😀 Köln and Ulm {n}", "Köln", "Ulm", unit="characters") for n in range(2)]
    records.append(doccano("😀 Bonn is near Ulm, they say", "Bonn", unit="utf16"))
    diagnostics = Diagnostics()
    sentences = read_file(fill(tmp_path, {"x.jsonl": jsonl(*records)}) / "x.jsonl", diagnostics)
    assert len(sentences) == 3
    assert [(found.severity, found.code) for found in diagnostics.kept] == [("warning", "cut-word")]


def test_spans_within_words_are_no_sign_of_another_unit(tmp_path: Path) -> None:
    records = [{"text": f"😀 Kölns Regen {n}", "label": [[2, 6, "LOC"]]} for n in range(3)]
    diagnostics = Diagnostics()
    sentences = read_file(fill(tmp_path, {"x.jsonl": jsonl(*records)}) / "x.jsonl", diagnostics)
    assert pairs(sentences)[0][:3] == [("😀", "O"), ("Köln", "B-LOC"), ("s", "O")]
    assert [found.severity for found in diagnostics.kept] == ["warning"] * 3
