"""Malformed records in JSON, Parquet and CSV; see test_malformed.py."""

from typing import Any

import pyarrow as pa
import pytest

from tests.corpus.conftest import NAMES, REST, Files, Refuse, case_list, parquet
from tests.corpus.conftest import jsonl as json_lines

LISTS = {"tokens": [["Bonn", "rains"]], "ner_tags": [["B-LOC", "O"]]}
NOT_UTF8 = pa.ListArray.from_arrays(
    [0, 2],
    pa.StringArray.from_buffers(2, pa.array([0, 4, 5], pa.int32()).buffers()[1], pa.py_buffer(b"Bonn\xff")),
)


def jsonl(*records: Any) -> Files:
    return REST | {"train.jsonl": json_lines(*records)}


def with_spans(*spans: Any, text: str = "Angela Merkel visited Bonn") -> Files:
    return jsonl({"text": "rain", "label": []}, {"text": text, "label": spans})


def table(content: bytes) -> Files:
    return REST | {"train.parquet": content}


def csv(text: str) -> Files:
    return REST | {"train.csv": text}


SPAN_CASES: dict[str, tuple[Files, str]] = {
    "overlap": (with_spans([0, 13, "PER"], [7, 13, "PER"]), "train.jsonl:2: the span 7-13 PER overlaps"),
    "leaves": (with_spans([22, 27, "LOC"]), "train.jsonl:2: the span 22-27 LOC leaves the text of 26 characters"),
    "before the text": (with_spans([-4, 4, "LOC"]), "train.jsonl:2: the span -4-4 LOC leaves the text"),
    "start equals end": (with_spans([6, 6, "LOC"]), "train.jsonl:2: the span 6-6 LOC does not end after its start"),
    "start after end": (with_spans([9, 6, "LOC"]), "train.jsonl:2: the span 9-6 LOC does not end after its start"),
    "white space": (with_spans([6, 7, "LOC"]), "train.jsonl:2: the span 6-7 LOC holds no word: ' '"),
    "no label": (
        with_spans({"start": 0, "end": 6}),
        "train.jsonl:2: {'start': 0, 'end': 6} is not a span: it needs start and end as numbers, and one label",
    ),
    "empty label": (with_spans([0, 6, ""]), "train.jsonl:2: [0, 6, ''] is not a span"),
    "two labels": (with_spans({"start": 0, "end": 6, "labels": ["PER", "ORG"]}), "and one label"),
    "strings": (with_spans("0-6 PER"), "train.jsonl:2: '0-6 PER' is not a span; write [start, end, label]"),
    "numbers as strings": (
        with_spans(["0", "6", "PER"]),
        "train.jsonl:2: ['0', '6', 'PER'] is not a span: it needs start and end as numbers",
    ),
    "label with a line end": (with_spans([0, 6, "PER\nSON"]), "train.jsonl:2: 'B-PER\\nSON' is not a tag"),
    "label with half a surrogate pair": (
        with_spans([0, 6, "\ud800"]),
        "train.jsonl:2: holds '\\ud800', half of a surrogate pair, which is not a character",
    ),
    "a class in place of spans": (
        jsonl({"text": "Bonn", "label": "LOC"}),
        "train.jsonl:1: text is a text, so label must be a list of spans, not 'LOC'",
    ),
}

JSON_CASES: dict[str, tuple[Files, str]] = {
    "lengths": (jsonl({"tokens": ["a", "b"], "tags": ["O"]}), "train.jsonl:1: 2 tokens but 1 tags: 'a b'"),
    "number as token": (
        jsonl({"tokens": ["a", 7], "tags": ["O", "O"]}),
        "train.jsonl:1: tokens must be strings, but one is 7",
    ),
    "tag numbers": (
        jsonl({"tokens": ["a"], "ner_tags": [0]}),
        "train.jsonl:1: the tag 0 is a number without a name; write the tags themselves",
    ),
    "null as token": (
        jsonl({"tokens": ["a", None], "tags": ["O", "O"]}),
        "train.jsonl:1: tokens must be strings, but one is None",
    ),
    "white space as token": (
        jsonl({"tokens": ["a", " "], "tags": ["O", "O"]}),
        "train.jsonl:1: a word of white space alone: ' '",
    ),
    "tab in token": (
        jsonl({"tokens": ["a\tb"], "tags": ["O"]}),
        "train.jsonl:1: a word with a tab or line end in it: 'a\\tb'",
    ),
    "line end in token": (
        jsonl({"tokens": ["a\nb"], "tags": ["O"]}),
        "train.jsonl:1: a word with a tab or line end in it: 'a\\nb'",
    ),
    "half a surrogate pair": (
        jsonl({"tokens": ["a\ud800"], "tags": ["O"]}),
        "train.jsonl:1: holds '\\ud800', half of a surrogate pair, which is not a character",
    ),
    "strings for lists": (
        jsonl({"tokens": "Bonn rains", "tags": "B-LOC O"}),
        "train.jsonl:1: tokens is a text, so tags must be a list of spans",
    ),
    "unknown field": (
        jsonl({"sentence_words": ["a"], "tags": ["O"]}),
        "train.jsonl:1: holds sentence_words, tags, but no words as tokens, words, text, sentence: name the field with",
    ),
    "no object": (jsonl([["a"], ["O"]]), "train.jsonl:1: needs an object with words and tags"),
    "no objects": (jsonl(7, "a", None), "train.jsonl:3: needs an object with words and tags: None"),
    "Label Studio without result": (
        jsonl({"data": {"text": "Bonn"}, "annotations": [{"result": None}]}),
        "train.jsonl:1: the annotation of this task has no list `result`",
    ),
    "Prodigy without places": (
        jsonl({"text": "Bonn", "tokens": [{"text": "Bonn"}], "spans": []}),
        "train.jsonl:1: tokens are objects without start and end",
    ),
    "Prodigy's token leaves the text": (
        jsonl({"text": "Bonn", "tokens": [{"start": 0, "end": 9}], "spans": []}),
        "train.jsonl:1: tokens overlap, are not in order, or leave the text of",
    ),
    "Prodigy's tokens out of order": (
        jsonl({"text": "a b", "tokens": [{"start": 2, "end": 3}, {"start": 0, "end": 1}], "spans": []}),
        "train.jsonl:1: tokens overlap, are not in order, or leave the text of",
    ),
    "GLiNER's span leaves the words": (
        jsonl({"tokenized_text": ["a", "b"], "ner": [[1, 2, "X"]]}),
        "train.jsonl:1: the span 1-2 X leaves the text of 2 words",
    ),
    "GLiNER's spans overlap": (
        jsonl({"tokenized_text": ["a", "b"], "ner": [[0, 1, "X"], [1, 1, "Y"]]}),
        "train.jsonl:1: the span 1-1 Y overlaps the one before it",
    ),
    "spans of words": (
        jsonl({"tokens": ["a", "b"], "entities": [{"type": "X", "start": 0, "end": 1}]}),
        "train.jsonl:1: entities holds spans of words, which are read as GLiNER writes them alone",
    ),
    "class of a text in Prodigy": (
        jsonl({"text": "Bonn", "label": "NEWS", "answer": "accept", "_is_binary": True, "_view_id": "classification"}),
        "train.jsonl:1: text is a text, so label must be a list of spans, not 'NEWS'",
    ),
    "cut off in a line": (
        REST | {"train.jsonl": '{"tokens": ["a"], "tags": ["O"]}\n{"tokens": ["b", "c'},
        "train.jsonl:2: not JSON (Unterminated string starting at character 18)",
    ),
    "array cut off": (
        REST | {"train.json": '[\n{"tokens": ["a"], "tags": ["O"]},\n{"tok'},
        "train.json:3: not JSON (Unterminated string starting at character 2); is it cut off?",
    ),
    "nested array": (REST | {"train.jsonl": "[" * 100_000}, "train.jsonl: not the JSON of a corpus: nested too deep"),
    "nested objects": (REST | {"train.jsonl": '{"a":' * 100_000}, "train.jsonl:1: not JSON (nested too deep"),
    **{
        f"nested {depth} deep": (REST | {"train.jsonl": f"[{'[' * depth}{']' * depth}]"}, "train.jsonl")
        for depth in (100, 900, 960)
    },
    "number of 5,000 digits": (
        REST | {"train.jsonl": '{"tokens": ["a"], "tags": [' + "9" * 5000 + "]}"},
        "train.jsonl:1: not JSON",
    ),
    "the same in an array": (
        REST | {"train.json": '[{"tokens": ["a"], "tags": [' + "9" * 5000 + "]}]"},
        "train.json: not the JSON of a corpus: a number of",
    ),
    "empty array": (REST | {"train.json": "[]"}, "corpus: no sentence in train"),
}

TABLE_CASES: dict[str, tuple[Files, str]] = {
    "no tags": (
        table(parquet({"tokens": LISTS["tokens"]})),
        "train.parquet: holds tokens, but no tags as ner_tags, tags, labels",
    ),
    "cut off": (table(parquet(LISTS)[:-40]), "train.parquet: is not a complete Parquet file"),
    "damaged": (
        table(parquet(LISTS)[:40] + bytes(40) + parquet(LISTS)[80:]),
        "train.parquet: is not a complete Parquet file",
    ),
    "magic alone": (table(b"PAR1"), "train.parquet: is not a complete Parquet file"),
    "plain strings": (
        table(parquet(LISTS | {"tokens": ["Bonn rains"]})),
        "train.parquet: its column tokens holds string, but must hold lists, a sentence a row",
    ),
    "numbers for words": (
        table(parquet(LISTS | {"tokens": [[1, 2]]})),
        "train.parquet: its column tokens holds lists of int64",
    ),
    "floats for tags": (
        table(parquet(LISTS | {"ner_tags": [[0.0, 1.0]]})),
        "train.parquet: its column ner_tags holds lists of double",
    ),
    "lengths": (table(parquet(LISTS | {"ner_tags": [["O"]]})), "train.parquet:1: 2 words but 1 tags"),
    "number out of range": (
        table(parquet(LISTS | {"ner_tags": [[1, 3]]}, names=NAMES)),
        "train.parquet:1: the tag 3 has no name; there are 3, from 0: O, B-LOC, I-LOC",
    ),
    "negative number": (
        table(parquet(LISTS | {"ner_tags": [[-1, 0]]}, names=NAMES)),
        "train.parquet:1: the tag -1 has no name",
    ),
    "numbers without names": (
        table(parquet(LISTS | {"ner_tags": [[1, 0]]})),
        "train.parquet:1: the tag 1 is a number without a name",
    ),
    "null tag": (
        table(parquet(LISTS | {"ner_tags": [["B-LOC", None]]})),
        "train.parquet:1: holds a word or tag that is null",
    ),
    "strings that are not UTF-8": (
        table(parquet(LISTS | {"tokens": NOT_UTF8})),
        "train.parquet:1: holds a word or tag that is not UTF-8",
    ),
    "no header": (csv("['Bonn'],['B-LOC']\n"), "train.csv: holds ['Bonn'], ['B-LOC'], but no words as tokens"),
    "cell too few": (
        csv("id,tokens,ner_tags\n1,\"['a']\",\"['O']\"\n2,\"['b']\"\n"),
        "train.csv:3: has 2 cells, but the header has 3",
    ),
    "NumPy's dots": (
        csv("tokens,ner_tags\n\"['a' 'b' ... 'c' 'd']\",\"['O' 'O' ... 'O' 'O']\"\n"),
        "train.csv:2: ner_tags is not a list of strings or numbers; NumPy shortened it, so words are lost",
    ),
    "open quote": (csv("tokens,ner_tags\n\"['a'],['O']\n"), "train.csv:2: not CSV: unexpected end of data"),
    "open bracket": (
        csv("tokens,ner_tags\n\"['a'\",\"['O']\"\n"),
        "train.csv:2: tokens must be a list in brackets, a sentence a row, not \"['a'\"",
    ),
    "lengths in CSV": (
        csv("tokens,ner_tags\n\"['a', 'b']\",\"['O']\"\n"),
        "train.csv:2: 2 tokens but 1 ner_tags: 'a b'",
    ),
    "line end in a string": (
        csv("tokens,ner_tags\n\"['a\nb']\",\"['O']\"\n"),
        "train.csv:2: a word with a tab or line end in it: 'a\\nb'",
    ),
    "broken escape": (
        csv("tokens,ner_tags\n\"['\\x']\",\"['O']\"\n"),
        "train.csv:2: tokens has a string with an invalid escape: '\\x'",
    ),
    "needless escape": (csv("tokens,ner_tags\n\"['\\d']\",\"['X']\"\n"), "train.csv:2: 'X' is not a tag"),
    "half a surrogate pair in CSV": (
        csv("tokens,ner_tags\n\"['\\ud800']\",\"['O']\"\n"),
        "train.csv:2: holds '\\ud800', half of a surrogate pair, which is not a character",
    ),
    "number for word in CSV": (
        csv("tokens,ner_tags\n[7],\"['O']\"\n"),
        "train.csv:2: tokens must be strings, but one is 7",
    ),
    "number of 5,000 digits in CSV": (
        csv("tokens,ner_tags\n\"['a']\",[" + "9" * 5000 + "]\n"),
        "train.csv:2: ner_tags is not a list of strings or numbers: '999",
    ),
    "halves of surrogate pairs in Python": (
        csv("tokens,ner_tags\n\"['\\ud83d\\ude00']\",\"['O']\"\n"),
        "train.csv:2: holds '\\ud83d', half of a surrogate pair",
    ),
    "text beside tags": (
        csv("text,tags\nBonn rains,\"['B-LOC', 'O']\"\n"),
        "train.csv:2: text must be a list in brackets, a sentence a row, not 'Bonn rains'",
    ),
    "span that leaves the text in CSV": (
        csv('text,label\nBonn,"[[0, 5, ""LOC""]]"\n'),
        "train.csv:2: the span 0-5 LOC leaves the text of 4 characters",
    ),
    "a list that is broken in one row of Parquet": (
        table(parquet({"tokens": ["['a']", "['b'"], "ner_tags": ["['O']", "['O']"]})),
        "train.parquet:2: tokens must be a list in brackets",
    ),
    "a word a row": (csv("word,tag\nBonn,B-LOC\n"), "train.csv: holds word, tag, but no words"),
}


@pytest.mark.parametrize(("files", "message"), case_list(SPAN_CASES, JSON_CASES, TABLE_CASES))
def test_tokenize_refuses_malformed_records(refuse: Refuse, files: Files, message: str) -> None:
    assert message in refuse(files)
