"""Tasks of Label Studio: which text its spans are of, and whether they fit it."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import Pairs, fill, jsonl, pairs, read_file

TEXT = "Angela Merkel visited Bonn."
BONN = [("Angela", "B-PER"), ("Merkel", "I-PER"), ("visited", "O"), ("Bonn", "B-LOC"), (".", "O")]
RAIN = [("Rain", "O"), ("in", "O"), ("Ulm", "B-LOC")]


def region(start: Any, end: Any, label: str, text: str | None = None, name: str = "text", **more: Any) -> Any:
    value = {"start": start, "end": end, "labels": [label]} | ({} if text is None else {"text": text})
    return {"value": value, "from_name": "label", "to_name": name, "type": "labels", **more}


def task(data: dict[str, Any], *regions: Any) -> dict[str, Any]:
    return {"data": data, "annotations": [{"result": list(regions)}]}


def read_tasks(folder: Path, *tasks: Any, **parameters: Any) -> tuple[Pairs, Diagnostics]:
    diagnostics = Diagnostics()
    return pairs(
        read_file(fill(folder, {"x.json": json.dumps(tasks)}) / "x.json", diagnostics, **parameters)
    ), diagnostics


@pytest.mark.parametrize("form", ["JSON", "JSON_MIN"])
def test_spans_of_whole_words_are_taken_though_their_text_is_what_the_mouse_selected(tmp_path: Path, form: str) -> None:
    regions = region(0, 13, "PER", "gela Mer"), region(22, 26, "LOC", "Bonn")
    record = task({"text": TEXT}, *regions)
    if form == "JSON_MIN":
        record = {"id": 1, "text": TEXT, "label": [region["value"] for region in regions]}
    sentences, diagnostics = read_tasks(tmp_path, record)
    assert sentences == [BONN]
    (found,) = diagnostics.kept
    assert (found.severity, found.message) == (
        "warning",
        "1 spans hold whole words where their annotation repeats a part of them, as Label Studio writes it with "
        "granularity=word; the offsets were taken",
    )


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (0, 13, "Berlin"),  # other words
        (0, 13, ""),
        (7, 13, "Angela Merkel"),  # more than the span
        (1, 13, "Mer"),  # a part of it, but the span does not start with a word
        (0, 12, "Mer"),
        (14, 21, "Angela Merkel"),
    ],
)
def test_spans_of_another_text_are_refused(tmp_path: Path, start: int, end: int, text: str) -> None:
    sentences, diagnostics = read_tasks(tmp_path, task({"text": TEXT}, region(start, end, "PER", text)))
    assert sentences == []
    (found,) = diagnostics.of("error")
    assert found.message == f"the span {start}-{end} PER should be {text!r}, but the text there is {TEXT[start:end]!r}"


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/0000-letter.txt",
        "/data/local-files/?d=letters/1.txt",
        "https://example.org/letter.txt",
        "s3://bucket/a.txt",
    ],
)
@pytest.mark.parametrize("said", ["Angela Merkel", None])
@pytest.mark.parametrize("form", ["JSON", "JSON_MIN"])
def test_address_in_place_of_the_text_is_refused(tmp_path: Path, address: str, said: str | None, form: str) -> None:
    marked = region(7, 20, "PER", said)
    record = task({"text": address}, marked)
    if form == "JSON_MIN":
        record = {"text": address, "label": [marked["value"]]}
    sentences, diagnostics = read_tasks(tmp_path, record)
    assert sentences == []
    (found,) = diagnostics.of("error")
    assert found.where.endswith("x.json:1")
    assert found.message.startswith(f"its text is an address, {address!r}: of a project with valueType")


def test_address_that_is_the_text_is_read(tmp_path: Path) -> None:
    address = "https://example.org"
    sentences, diagnostics = read_tasks(tmp_path, task({"text": address}, region(0, len(address), "URL", address)))
    assert (sentences, diagnostics.kept) == ([[(address, "B-URL")]], [])


@pytest.mark.parametrize(
    "names",
    [
        ("title", "body"),  # the object has the name of the field
        ("first", "second"),  # it has not, but only one of the texts fits
    ],
)
def test_spans_of_several_texts_belong_each_to_its_own(tmp_path: Path, names: tuple[str, str]) -> None:
    record = task(
        {"title": "Rain in Ulm", "body": TEXT, "lang": "en"},
        region(0, 13, "PER", "Angela Merkel", names[1]),
        region(8, 11, "LOC", "Ulm", names[0]),
        region(22, 26, "LOC", "Bonn", names[1]),
    )
    sentences, diagnostics = read_tasks(tmp_path, record)
    assert (sentences, diagnostics.kept) == ([RAIN, BONN], [])
    sentences, diagnostics = read_tasks(tmp_path, record, words="body")
    assert sentences == [BONN]
    assert [found.message for found in diagnostics.kept] == ["1 texts that data.words does not name were skipped"]


def test_spans_are_not_those_of_a_field_that_is_named_text_alone(tmp_path: Path) -> None:
    sentences, _ = read_tasks(
        tmp_path, task({"text": "A letter", "title": "Rain in Ulm"}, region(8, 11, "LOC", "Ulm", "t"))
    )
    assert sentences == [RAIN]


def test_tasks_without_a_span_are_read_where_it_is_clear_of_which_text(tmp_path: Path) -> None:
    tasks = task({"text": "It rains"}), task({"body": "It rains"}), task({"title": "It", "body": "rains"})
    sentences, diagnostics = read_tasks(tmp_path, *tasks)
    assert sentences == [[("It", "O"), ("rains", "O")]] * 2
    assert [found.message for found in diagnostics.kept] == [
        "1 tasks without a span and with several texts were skipped; choose one with data.words"
    ]
    assert read_tasks(tmp_path, tasks[2], words="body")[0] == [[("rains", "O")]]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            task({"lang": "en", "body": "A b"}, region(0, 1, "X", name="t")),
            "its data holds lang, body: name the field that was annotated as t with data.words",
        ),
        (
            task({"text": "A b"}, region(0, 1, "X") | {"type": "hypertextlabels"}),
            "an annotation of type hypertextlabels in it; only labels of plain text are read",
        ),
        (
            task({"html": "<p>A b</p>"}, region("/p[1]/text()[1]", "/p[1]/text()[1]", "X")),
            "a span starts at '/p[1]/text()[1]': HTML; only plain text is read",
        ),
        ({"data": {"text": "Bonn"}, "annotations": [{"result": None}]}, "this task has no list `result`"),
    ],
)
def test_tasks_that_could_be_read_wrongly_are_refused(tmp_path: Path, record: dict[str, Any], message: str) -> None:
    sentences, diagnostics = read_tasks(tmp_path, record)
    assert sentences == []
    assert message in diagnostics.of("error")[0].message


def test_relations_choices_and_cancelled_annotations_are_no_spans(tmp_path: Path) -> None:
    record = task(
        {"text": TEXT},
        region(0, 13, "PER", "Angela Merkel"),
        region(22, 26, "LOC", "Bonn"),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        {"type": "choices", "value": {"choices": ["news"]}, "to_name": "other"},
    )
    cancelled = {"was_cancelled": True, "result": [region(0, 6, "ORG")]}
    record["annotations"].insert(0, cancelled)
    record["predictions"] = [{"result": [region(14, 21, "ORG")]}]
    assert read_tasks(tmp_path, record)[0] == [BONN]
    assert pairs(read_file(fill(tmp_path, {"y.jsonl": jsonl(record)}) / "y.jsonl")) == [BONN]
