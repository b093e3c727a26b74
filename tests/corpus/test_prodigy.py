"""Binary records of Prodigy: each is a decision on one span of a text."""

from pathlib import Path
from typing import Any

import pytest

from stages.corpus.annotations import prodigy
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import Pairs, fill, jsonl, pairs, read_file

TEXT = "Angela Merkel visited Bonn."
BONN = [("Angela", "B-PER"), ("Merkel", "I-PER"), ("visited", "O"), ("Bonn", "B-LOC"), (".", "O")]
RAIN = [("Rain", "O"), ("in", "O"), ("Ulm", "B-LOC")]


def decision(start: int, end: int, label: str, *, text: str = TEXT, answer: str = "accept", **more: Any) -> Any:
    """As ner.teach writes it."""
    span = {"start": start, "end": end, "label": label, "rank": 0, "score": 0.5, "source": "core_web_sm"}
    hashes = {"_input_hash": hash(text), "_task_hash": hash((text, start, label))}
    return {"text": text, "spans": [span], "answer": answer, "_is_binary": True, "_view_id": "ner"} | hashes | more


def read_decisions(folder: Path, *records: Any) -> tuple[Pairs, Diagnostics]:
    diagnostics = Diagnostics()
    return pairs(read_file(fill(folder, {"x.jsonl": jsonl(*records)}) / "x.jsonl", diagnostics)), diagnostics


@pytest.mark.parametrize("more", [{}, {"_is_binary": None}, {"_view_id": None}], ids=["both", "view", "binary"])
def test_accepted_spans_of_a_text_are_merged(tmp_path: Path, more: dict[str, Any]) -> None:
    records = [
        decision(22, 26, "LOC", **more),
        decision(8, 11, "LOC", text="Rain in Ulm", **more),
        decision(0, 13, "PER", **more),
        decision(0, 13, "PER", score=0.9, **more),  # the same again
        decision(14, 21, "LOC", answer="reject", **more),
        decision(0, 7, "LOC", text="Nobody knows", answer="reject", **more),
    ]
    sentences, diagnostics = read_decisions(tmp_path, *records)
    assert sentences == [BONN, RAIN]
    assert [(found.severity, found.message) for found in diagnostics.kept] == [
        (
            "warning",
            "3 accepted spans of Prodigy's binary records were merged into 2 texts. Their other words count as O, "
            "though nobody said so: complete them in Prodigy first (ner.silver-to-gold)",
        ),
        ("note", "2 examples that were not accepted in Prodigy were skipped"),
    ]


def test_accepted_spans_that_overlap_are_refused(tmp_path: Path) -> None:
    sentences, diagnostics = read_decisions(tmp_path, decision(0, 6, "PER"), decision(0, 13, "PER"))
    assert sentences == []
    (error,) = diagnostics.of("error")
    assert error.where.endswith("x.jsonl:1")
    assert error.message == "the span 0-13 PER overlaps the one before it; keep one of them"


def test_records_of_whole_texts_are_not_merged(tmp_path: Path) -> None:
    """Two annotators of one text: their contradictions are no parts of one annotation."""
    records = [
        decision(0, 13, "PER", _is_binary=False, _view_id="ner_manual", _annotator_id=name) for name in ("ada", "ivo")
    ]
    sentences, diagnostics = read_decisions(tmp_path, *records)
    assert sentences == [[(word, tag if tag != "B-LOC" else "O") for word, tag in BONN]] * 2
    assert diagnostics.kept == []


def test_memory_for_merging_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prodigy, "MERGED_LIMIT", 30)
    records = [decision(0, 6, "PER"), decision(22, 26, "LOC"), decision(8, 11, "LOC", text="Rain in Ulm")]
    _, diagnostics = read_decisions(tmp_path, *records)
    (error,) = diagnostics.of("error")
    assert error.where.endswith("x.jsonl:3")
    assert "Divide the file, with all records of a text in one part" in error.message
