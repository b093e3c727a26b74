"""JSON as doccano, Prodigy, Label Studio and GLiNER write it."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import data_params, fill, jsonl, pairs, read_file

BONN = [[("Angela", "B-PER"), ("Merkel", "I-PER"), ("visited", "O"), ("Bonn", "B-LOC"), (".", "O")]]
TEXT = "Angela Merkel visited Bonn."
WHERE = [(0, 13, "PER"), (22, 26, "LOC")]
TOKENS = [(0, 6), (7, 13), (14, 21), (22, 26), (26, 27)]
DOCCANO = {"id": 1, "text": TEXT, "Comments": []}
PRODIGY = {
    "text": TEXT,
    "meta": {"source": "web"},
    "_input_hash": 1842734674,
    "_task_hash": -1297127385,
    "tokens": [
        {"text": TEXT[start:end], "start": start, "end": end, "id": n, "ws": end < 26}
        for n, (start, end) in enumerate(TOKENS)
    ],
    "_session_id": "ner-anna",
    "_view_id": "ner_manual",
    "spans": [
        {"start": 0, "end": 13, "token_start": 0, "token_end": 1, "label": "PER"},
        {"start": 22, "end": 26, "token_start": 3, "token_end": 3, "label": "LOC"},
    ],
    "answer": "accept",
}
LABEL_STUDIO = {
    "id": 7,
    "annotations": [
        {
            "id": 9,
            "completed_by": 1,
            "result": [
                {
                    "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]},
                    "id": f"gew3t9f{start}",
                    "from_name": "label",
                    "to_name": "text",
                    "type": "labels",
                    "origin": "manual",
                }
                for start, end, label in WHERE
            ]
            + [{"value": {"choices": ["news"]}, "from_name": "kind", "to_name": "text", "type": "choices"}],
            "was_cancelled": False,
            "ground_truth": False,
            "lead_time": 4.3,
            "task": 7,
        }
    ],
    "file_upload": "x.txt",
    "drafts": [],
    "predictions": [],
    "data": {"text": TEXT},
    "meta": {},
    "project": 83,
}
JSON_MIN = {
    "text": TEXT,
    "id": 7,
    "label": [{"start": start, "end": end, "text": TEXT[start:end], "labels": [label]} for start, end, label in WHERE],
    "annotator": 1,
    "annotation_id": 9,
    "created_at": "2021-03-09T21:52:49.513742Z",
    "lead_time": 4.3,
}
EXPORTS: dict[str, Any] = {
    "doccano, label": DOCCANO | {"label": WHERE},
    "doccano, labels of old": DOCCANO | {"labels": WHERE},
    "doccano, relations": DOCCANO
    | {
        "entities": [{"id": n, "label": c, "start_offset": a, "end_offset": b} for n, (a, b, c) in enumerate(WHERE)],
        "relations": [{"id": 0, "from_id": 0, "to_id": 1, "type": "visits"}],
    },
    "Prodigy": PRODIGY,
    "Prodigy, ner.teach": {"text": TEXT, "spans": PRODIGY["spans"], "answer": "accept"},
    "Prodigy, classified too": PRODIGY | {"label": "NEWS"},
    "doccano, classified too": DOCCANO | {"label": ["news"], "entities": WHERE},
    "GLiNER": {
        "tokenized_text": [word for word, _ in BONN[0]],
        "ner": [[0, 1, "PER"], [3, 3, "LOC"]],
        "label": ["PER", "LOC"],
    },
    "strings of JSON": {
        "tokens": json.dumps([word for word, _ in BONN[0]]),
        "tags": repr([tag for _, tag in BONN[0]]),
    },
    "text and a string of JSON": {"text": TEXT, "label": json.dumps(WHERE)},
    "Label Studio": LABEL_STUDIO,
    "Label Studio, JSON_MIN": JSON_MIN,
}


@pytest.mark.parametrize("record", EXPORTS.values(), ids=EXPORTS)
@pytest.mark.parametrize("as_array", [True, False])
def test_json_reads_what_annotation_tools_export(tmp_path: Path, record: dict[str, Any], as_array: bool) -> None:
    files = {"x.json": json.dumps([record] * 2)} if as_array else {"x.jsonl": jsonl(record, record)}
    sentences = read_file(fill(tmp_path, files) / next(iter(files)))
    assert pairs(sentences) == BONN * 2
    assert [sentence.line for sentence in sentences] == [1, 2]


@pytest.mark.parametrize(
    ("records", "note"),
    [
        (
            [PRODIGY, PRODIGY | {"answer": "reject"}, PRODIGY | {"answer": "ignore"}],
            "2 examples that were not accepted",
        ),
        ([LABEL_STUDIO, LABEL_STUDIO | {"annotations": []}], "1 tasks without an annotation were skipped"),
        ([LABEL_STUDIO | {"annotations": LABEL_STUDIO["annotations"] * 2}], "1 tasks have several annotations"),
        ([DOCCANO | {"label": WHERE}, {"text": " \n", "label": []}], "1 records without a word were skipped"),
    ],
)
def test_json_notes_what_it_skips(tmp_path: Path, records: list[Any], note: str) -> None:
    diagnostics = Diagnostics()
    sentences = read_file(fill(tmp_path, {"x.jsonl": jsonl(*records)}) / "x.jsonl", diagnostics)
    assert pairs(sentences) == BONN
    assert [found.severity for found in diagnostics.kept] == ["note"]
    assert diagnostics.kept[0].message.startswith(note)


def test_json_reads_prodigys_examples_without_an_entity(tmp_path: Path) -> None:
    record = {name: value for name, value in PRODIGY.items() if name != "spans"}
    sentences = read_file(fill(tmp_path, {"x.jsonl": jsonl(record)}) / "x.jsonl")
    assert pairs(sentences) == [[(word, "O") for word, _ in BONN[0]]]


def test_json_skips_prodigys_tokens_of_white_space(tmp_path: Path) -> None:
    """spaCy makes one of each double blank and line end."""
    text, places = "Bonn  \nrains", [(0, 4), (5, 7), (7, 12)]
    tokens = [{"text": text[start:end], "start": start, "end": end, "id": n} for n, (start, end) in enumerate(places)]
    record = {"text": text, "tokens": tokens, "spans": [{"start": 0, "end": 5, "label": "LOC"}], "answer": "accept"}
    sentences = read_file(fill(tmp_path, {"x.jsonl": jsonl(record)}) / "x.jsonl")
    assert pairs(sentences) == [[("Bonn", "B-LOC")], [("rains", "O")]]


def test_json_makes_sentences_of_lines_and_documents_of_texts(tmp_path: Path) -> None:
    text = "It rains in Bonn.\nNew\nYork is dry.\n\nSo.\n"
    records = [{"text": text, "label": [[12, 16, "LOC"], [18, 26, "LOC"]]}, {"text": "a\nb", "label": []}]
    place = fill(tmp_path, {"x.jsonl": jsonl(*records, {"text": "one line", "label": []})})
    (block,) = [block for block, _ in open_corpus(data_params(place), allow_unsplit=True).blocks(Diagnostics())]
    assert [" ".join(sentence.words) for sentence in block.sentences()] == [
        "It rains in Bonn .",
        "New York is dry .",
        "So .",
        "a",
        "b",
        "one line",
    ]
    assert [int(number) for number in block.documents] == [0, 0, 0, 1, 1, -1]


def test_json_numbers_documents_by_their_names(tmp_path: Path) -> None:
    records = [{"tokens": ["a"], "tags": ["O"], "doc_id": name} for name in ("x", "x", "y", "x")]
    place = fill(tmp_path, {"x.jsonl": jsonl(*records)})
    (block,) = [block for block, _ in open_corpus(data_params(place), allow_unsplit=True).blocks(Diagnostics())]
    assert [int(number) for number in block.documents] == [0, 0, 1, 2]


def test_json_cuts_words_at_the_ends_of_spans_and_notes_it(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    record = {"text": "Bonns Regen", "label": [[0, 4, "LOC"]]}
    sentences = read_file(fill(tmp_path, {"x.jsonl": jsonl(record)}) / "x.jsonl", diagnostics)
    assert pairs(sentences) == [[("Bonn", "B-LOC"), ("s", "O"), ("Regen", "O")]]
    assert [found.message for found in diagnostics.kept] == [
        "a span begins or ends inside 'Bonns', which became two words. Are the offsets right?"
    ]
