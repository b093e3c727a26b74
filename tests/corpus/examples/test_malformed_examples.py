"""What people get wrong: one message for each fault, with its place, and never a traceback."""

# ruff: noqa: E501 - most cases are a line each

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stages.corpus.examples.readers.columns import Wanted
from stages.corpus.text.diagnostics import Diagnostics
from stages.errors import CorpusError
from tests.corpus.examples.conftest import Files, jsonl, open_files, profile, read_all
from tests.corpus.examples.test_formats import CLASS, TASK, parquet

GOOD = "text,label\ngood,a\nbad,b\n"
REST: Files = {"dev.csv": GOOD, "test.csv": GOOD}


class Case(NamedTuple):
    files: Files
    expected: str  # the beginning of its line in the message
    wanted: Wanted = "labels"
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed


def train(content: str | bytes, expected: str, wanted: Wanted = "labels", name: str = "train.csv", **more: Any) -> Case:
    return Case({name: content}, expected, wanted, more)


CASES: dict[str, Case] = {
    # The file as a whole.
    "no file": Case({"notes.doc": "x"}, "FOLDER: no labelled texts in it. Files that are read end in csv, tsv"),
    "empty file": train("", "train.csv: is empty"),
    "only a BOM": train(b"\xef\xbb\xbf\n", "train.csv: is empty"),
    "header alone": train("text,label\n", "FOLDER: no example in all"),
    "UTF-16": train(GOOD.encode("utf-16"), "train.csv: is UTF-16, not UTF-8 text. Convert it: iconv"),
    "Latin-1": train("text,label\ncafé,a\n".encode("latin-1"), "train.csv:2: not UTF-8"),
    "NUL": train("text,label\na\0b,a\n", "train.csv:2: holds a NUL byte"),
    "zip": train(b"PK\x03\x04" + b"x" * 20, "train.csv: is a zip archive"),
    "gzip cut off": train(gzip.compress(GOOD.encode())[:-9], "train.csv.gz: the gzip is damaged", name="train.csv.gz"),
    "parquet cut off": train(
        parquet({"text": ["x"], "label": ["a"]})[:-9], "train.parquet: is not a complete Parquet", name="train.parquet"
    ),
    "parquet with a name that is not UTF-8": train(
        parquet({"text": ["x"], "label": ["a"]}).replace(b"label", b"lab\xffl"), "train.parquet: is not a complete Parquet", name="train.parquet"
    ),
    "csv in quotes that never end": train('text,label\ngood,a\n"bad,b\nx,a\n', "train.csv:3: a cell that begins with a"),
    "csv with text behind a quote": train('text,label\n"good" one,a\nbad,b\n', "train.csv:2: text follows the quote"),
    "json cut off": train('[{"text": "x", "label": "a"},\n {"text": "y"', "train.json:2: not JSON", name="train.json"),
    "json with more behind it": train('[{"text": "x", "label": "a"}]\n[]', "train.json:2: more follows", name="train.json"),
    "object over several lines": train('{\n "text": "x"}', "train.json:1: an object over several", name="train.json"),
    "by split, not an array": Case(
        {"all.json": '{"train": [["x", "a"]], "val": 5}'}, "all.json:1: not JSON: '[' expected"
    ),
    # Its columns.
    "unknown text": train("words,label\nx,a\ny,b\n", "train.csv: holds 'words', 'label', but no text as text, sentence"),
    "unknown label": train("text,flag\nx,a\ny,b\n", "train.csv: holds 'text', 'flag', but no label as"),
    "both unknown": train("words,flag\nx,a\ny,b\n", "train.csv: holds 'words', 'flag', but no text as"),
    "a name that is near": train(GOOD, "train.csv: holds 'text', 'label', but no 'lable', which data.label names; did",
                                 label="lable"),
    "a number too high": train(GOOD, "train.csv: holds 'text', 'label', but data.label names column 3", label=3),
    "no second text": train(GOOD, "train.csv: holds 'text', 'label', but no text_pair as", text_pair="auto"),
    "no slice": train(GOOD, "train.csv: holds 'text', 'label', but no 'region', which data.slices", slices=["region"]),
    "no split column": train(GOOD, "train.csv: holds 'text', 'label', but no 'split', which", split_column="split"),
    "a name twice": train("text,label,label\nx,a,b\n", "train.csv: has 2 columns named 'label'"),
    "no names, three columns": train("x\ty\t1\nz\ty\t1\n", "train.tsv: has 3 columns without names", name="train.tsv"),
    "text and label in one": train("text,x\na,b\nc,d\n", "train.csv: text, text_pair and label would all be read from",
                                   label="text"),
    "label names without a name": Case({"train.csv": GOOD, "names.txt": "\n"}, "names.txt: data.label_names must be",
                                       settings={"label_names": "names.txt"}),
    "label names twice": Case({"train.csv": GOOD, "names.txt": "a\na\n"}, "names.txt: has the name 'a' twice",
                              settings={"label_names": "names.txt"}),
    "no label names": Case({"train.csv": GOOD}, "names.txt: cannot be read", settings={"label_names": "names.txt"}),
    # Its rows.
    "too many cells": train("text,label\ngood,a\nso, so,b\n", "train.csv:3: has 3 cells, but the header has 2"),
    "too few cells": train("text,label\ngood\nbad,b\nx,a\n", "train.csv:2: has 1 cell, but the header has 2"),
    "empty text": train("text,label\n ,a\nbad,b\nx,a\n", "train.csv:2: has no text"),
    "no label": train("text,label\ngood,a\nbad,\nx,b\n", "train.csv:3: has no label"),
    "no text field": train(jsonl({"text": "x", "label": "a"}, {"label": "b"}), "train.jsonl:2: has no text",
                           name="train.jsonl"),
    "text is a number": train(jsonl({"text": 5, "label": "a"}), "train.jsonl:1: its text must be a string, not 5",
                              name="train.jsonl"),
    "text is a list": train(jsonl({"text": ["x"], "label": "a"}), "train.jsonl:1: its text must be a string, not ['x']",
                            name="train.jsonl"),
    "half of a surrogate pair": train('{"text": "\\ud83d", "label": "a"}\n', "train.jsonl:1: holds '\\ud83d', half of",
                                      name="train.jsonl"),
    "half of one in a label": train('{"text": "x", "label": "\\ud83d"}\n', "train.jsonl:1: holds '\\ud83d', half of",
                                    name="train.jsonl"),
    "not JSON": train('{"text": "x", "label": "a"}\n{"text": \n', "train.jsonl:2: not JSON", name="train.jsonl"),
    "a string for a record": train('{"text": "x", "label": "a"}\n"y"\n', "train.jsonl:2: needs an object with a text",
                                   name="train.jsonl"),
    "several labels": train(jsonl({"text": "x", "label": ["a", "b"]}), "train.jsonl:1: 2 labels where one is expected",
                            name="train.jsonl"),
    "label is an object": train(jsonl({"text": "x", "label": {"a": 1}}), "train.jsonl:1: a label is a string or a whole",
                                name="train.jsonl"),
    "label is a fraction": train(jsonl({"text": "x", "label": 0.5}), "train.jsonl:1: a label is a string or a whole",
                                 name="train.jsonl"),
    "label of two lines": train('text,label\nx,"a\nb"\ny,c\n', "train.csv:2: a label with a tab, a line end"),
    "a number without a name": train(
        parquet({"text": ["x", "y"], "label": [0, 7]}, CLASS), "train.parquet:2: the label 7 has no name",
        name="train.parquet"),
    "not 0 or 1": train("text,a,b\nx,1,0\ny,2,1\n", "train.csv:3: its column a must be 0 or 1, not '2'", label=["a", "b"]),
    "no flag": train("text,a,b\nx,1,0\ny,,1\n", "train.csv:3: its column a must be 0 or 1, not ''", label=["a", "b"]),
    "spans of label studio": train(
        json.dumps([TASK | {"annotations": [{"result": [{"type": "labels", "value": {}}]}]}]),
        "train.json:1: an annotation of type labels in it marks spans", name="train.json"),
    "two controls of label studio": train(
        json.dumps([TASK | {"annotations": [{"result": [
            {"type": "choices", "from_name": name, "value": {"choices": ["a"]}} for name in "st"]}]}]),
        "train.json:1: has answers to s, t: name one with data.label", name="train.json"),
    "address for a text": train(json.dumps([TASK | {"data": {"text": "/data/upload/1/x.txt"}}]),
                                "train.json:1: its text is an address", name="train.json"),
    "unknown split": train("text,label,split\nx,a,train\ny,b,holdout\n", "train.csv:3: 'holdout' is neither train, dev",
                           split_column="split"),
    "no number": train("text,score\nx,1\ny,\n", "train.csv:3: has no number", "numbers"),
    "not a number": train("text,score\nx,1\ny,high\n", "train.csv:3: 'high' is not a number; is data.target", "numbers"),
    "decimal comma": train('text,score\nx,1\ny,"3,5"\n', "train.csv:3: '3,5' is not a number; write it with a point",
                           "numbers"),
    "infinite": train("text,score\nx,1\ny,inf\n", "train.csv:3: 'inf' is not a finite number", "numbers"),
    "NaN": train("text,score\nx,1\ny,nan\n", "train.csv:3: 'nan' is not a finite number", "numbers"),
    "too large": train('{"text": "x", "score": ' + "9" * 400 + "}\n", "train.jsonl:1: 9999", "numbers", "train.jsonl"),
    "true": train(jsonl({"text": "x", "score": True}), "train.jsonl:1: a target is a number, not True", "numbers",
                  "train.jsonl"),
    "two numbers, then one": train(jsonl({"text": "x", "score": [1, 2]}, {"text": "y", "score": [1]}),
                                   "train.jsonl:2: holds 1 number, but train.jsonl:1 holds 2", "numbers",
                                   "train.jsonl"),
    "constant": train("text,score\nx,1\ny,1\n", "FOLDER: the target is 1 for all of all", "numbers"),
    # Other formats.
    "more texts than labels": Case({"train/seq.in": "x\ny\n", "train/label": "a\n"},
                                   "train/label:2: has no line 2, and seq.in has"),
    "more labels than texts": Case({"train/seq.in": "x\n", "train/label": "a\nb\n"},
                                   "train/seq.in:2: has no line 2, and label has"),
    "a line without a label": train("__label__a x\ny\n__label__b z\n", "train.txt:2: has no label", name="train.txt"),
    "fasttext for numbers": train("__label__1 x\n", "train.txt: are lines of fastText: they have labels and no", "numbers",
                                  "train.txt"),
    "a class with a text that is not UTF-8": Case({"a/1.txt": b"caf\xe9", "b/2.txt": "y"}, "a/1.txt:1: not UTF-8"),
    "an empty text of a class": Case({"a/1.txt": " \n", "b/2.txt": "y"}, "a/1.txt: has no text"),
    "no folders of classes": Case({"train.csv": GOOD}, "FOLDER: data.format is folders", settings={"format": "folders"}),
    # The corpus as a whole.
    "one label": train("text,label\nx,a\ny,a\n", "FOLDER: only a in all, so there is nothing to learn"),
    "a label for each text": train("text,label\n" + "".join(f"t{n},l{n}\n" for n in range(50)),
                                   "FOLDER: 50 labels on 50 examples: are they texts or numbers?"),
    "a long label": train(f"text,label\nx,{'a' * 300}\ny,b\n", "FOLDER: the label 'aaa"),
    "no example in dev": Case({"train.csv": GOOD, "dev.csv": "text,label\n", "test.csv": GOOD},
                              "FOLDER: no example in dev; each split needs one"),
    "too few texts to cut": Case({"all.csv": "text,label\nx,a\ny,b\n"}, "FOLDER: no example in dev. Equal texts",
                                 settings={"split": {"dev": 0.1, "test": 0.1}}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_malformed_files_are_refused_with_their_place(refuse: Callable[..., str], case: Case) -> None:
    message = refuse(case.files, case.wanted, **case.settings)
    lines = [line.strip() for line in message.splitlines()]
    assert any(line.startswith(case.expected) for line in lines), message
    assert "Traceback" not in message


def test_malformed_inputs_are_many() -> None:
    assert len(CASES) >= 40


def test_all_faults_of_all_files_are_reported_at_once(refuse: Callable[..., str]) -> None:
    files: Files = {
        "train.csv": "text,label\nx\n,a\ny,\nz,b\n",
        "dev.csv": "words,label\nx,a\n",
        "test.csv": b"\xff\xfe",
    }
    message = refuse(files)
    for place in ("train.csv:2: ", "train.csv:3: ", "train.csv:4: ", "dev.csv: ", "test.csv: "):
        assert f"  {place}" in message, message


def test_row_with_two_faults_counts_once(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    read_all(open_files(tmp_path, {"train.jsonl": jsonl({"text": 5, "label": 0.5})}), diagnostics)
    assert diagnostics.counts["record"] == 2
    assert diagnostics.faulty == 1


def test_gaps_are_left_out_with_drop_however_many(tmp_path: Path) -> None:
    files: Files = {"train.csv": "text,label\n,a\nx,\ny,a\nz,b\n", "test.csv": GOOD}
    found, diagnostics = profile(open_files(tmp_path, files, faulty="drop"))
    assert not diagnostics.of("error")
    assert found.splits["train"].examples == 2
    assert found.splits["train"].dropped == 2
    assert [each.where.rpartition("/")[2] for each in diagnostics.kept if each.code == "dropped-from-train"] == [
        "train.csv:2", "train.csv:3"
    ]  # fmt: skip


@pytest.mark.parametrize(("sound", "is_refused"), [(50, True), (150, False)])
def test_faults_are_left_out_with_drop_if_they_are_few(tmp_path: Path, sound: int, is_refused: bool) -> None:
    content = "text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(sound)) + "so, so,1\n"
    found, diagnostics = profile(open_files(tmp_path, {"train.csv": content}, faulty="drop"))
    assert bool(diagnostics.of("error")) == is_refused
    assert found.splits["all"].dropped == 1


def test_gaps_say_how_to_leave_them_out(refuse: Callable[..., str]) -> None:
    message = refuse({"train.csv": "text,label\n,a\nx,\ny,a\nz,b\n"})
    assert "2 examples have no text or no answer. Fill them in, or leave them out: --set data.faulty=drop" in message


def test_missing_folder_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file or folder"):
        open_files(tmp_path, {}, dir=str(tmp_path / "nowhere"))
