"""Labelled texts as people bring them: what is refused with its place, and what is read with a warning."""

# ruff: noqa: E501 - most cases are a line each

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.corpus.examples.conftest import Files, find, jsonl, open_files, profile, read_all
from tests.corpus.examples.test_examples_profile import count_words, many, table
from tests.corpus.examples.test_formats import CLASS, TASK, parquet
from tests.corpus.examples.test_malformed_examples import GOOD, REST, Case, train

BOTH = ["a", "b"]
FLAGS: dict[str, Any] = {"label": ["x", "y"]}


def task(kind: str, value: Any) -> str:
    return json.dumps(
        [TASK | {"annotations": [{"result": [{"type": kind, "from_name": "s", "value": {kind: value}}]}]}]
    )


def from_parquet(columns: dict[str, Any], expected: str, features: dict[str, Any] | None = None, **more: Any) -> Case:
    return train(parquet(columns, features), expected, name="train.parquet", **more)


def rows_by_split(*splits: str) -> str:
    return "text,label,fold\n" + "".join(f"text {n},{'ab'[n % 2]},{split}\n" for n, split in enumerate(splits * 4))


REFUSED: dict[str, Case] = {
    # Tables.
    "UTF-16 without a BOM": train(GOOD.encode("utf-16-le"), "train.csv: is UTF-16LE, not UTF-8 text. Convert it: iconv"),
    "no header": train("first text,good\nanother,bad\n", "train.csv: holds 'first text', 'good', but no text as text"),
    "a header again": train(GOOD + GOOD, "train.csv:4: repeats the header; remove it"),
    "a column twice": train("text,text,label\nx,y,a\n", "train.csv: has 2 columns named 'text'; give each a name of its own"),
    "another separator": train("text~label\nx~a\ny~b\n", "train.csv: holds 'text~label', but no text as"),
    "plain text": train("just a text\nanother one\n", "train.txt: holds 'just a text', but no text as", name="train.txt"),
    "columns of CoNLL": train("Anna B-PER\nran O\n\nBonn B-LOC\n", "train.conll: holds 'Anna B-PER', but no text", name="train.conll"),
    "a page in place of the file": train("<html><body>404</body></html>\n", "train.csv: holds '<html><body>404</body></html>'"),
    "single quotes": train("text,label\n'x, one',a\n'y',b\n", "train.csv:2: has 3 cells, but the header has 2"),
    "backslashes before quotes": train('text,label\n"say \\"x\\" now",a\ny,b\n', "train.csv:2: text follows the quote"),
    "a merge conflict": train("text,label\n<<<<<<< HEAD\nx,a\n=======\nx,b\n>>>>>>> other\n", "train.csv:4: has 1 cell"),
    "no line ends": train("text,label\n" + "x" * (18 << 20) + ",a\n", "train.csv: a line of over 16 MB"),
    # Labels.
    "yes and no in columns of 0 and 1": train("text,x,y\nt,yes,no\n", "train.csv:2: its column x must be 0 or 1, not 'yes'", **FLAGS),
    "shares in columns of 0 and 1": train("text,x,y\nt,0.9,0.1\n", "train.csv:2: its column x must be 0 or 1, not '0.9'", **FLAGS),
    "two of the columns for one label": train("text,x,y\nt,1,1\nu,1,0\n", "train.csv:2: 2 labels where one is expected", **FLAGS),
    "none of the columns for one label": train("text,x,y\nt,0,0\nu,1,0\n", "train.csv:2: has no label", **FLAGS),
    "NUL in a label": train(jsonl({"text": "x", "label": "a\0"}), "train.jsonl:1: a label with a tab, a line end or another control", name="train.jsonl"),
    "a label in an object": train(jsonl({"text": "x", "label": {"name": "a"}}), "train.jsonl:1: a label is a string or a whole number, not {'name'", name="train.jsonl"),
    "labels in objects": train(jsonl({"text": "x", "label": [{"label": "a"}]}), "train.jsonl:1: a label is a string or a whole number, not {'label'", name="train.jsonl"),
    "a string beside names": Case({"train.csv": "text,label\nx,1\ny,good\n", "names.txt": "a\nb\n"},
                                  "train.csv:3: the label 'good' is neither a number nor one of the 2 of data.label_names",
                                  settings={"label_names": "names.txt"}),
    "a number of pandas without a name": Case({"train.csv": "text,label\nx,1.0\ny,2.0\n", "names.txt": "a\nb\n"},
                                              "train.csv:3: the label 2 has no name; there are the 2 of data.label_names",
                                              settings={"label_names": "names.txt"}),
    "one class": train("text,label\nx,a\ny,a\nz,a\n", "FOLDER: only a in all, so there is nothing to learn"),
    # Numbers.
    "a gap in words": train("text,score\nx,1\ny,N/A\n", "train.csv:3: 'N/A' is not a number; where there is none, leave it", "numbers"),
    "NaN in JSON": train('{"text": "x", "score": NaN}\n', "train.jsonl:1: nan is not a finite number; where there is", "numbers", "train.jsonl"),
    "NaN in Parquet": from_parquet({"text": BOTH, "score": [1.0, float("nan")]}, "train.parquet:2: nan is not a finite", wanted="numbers"),
    "percent": train("text,score\nx,10%\ny,2\n", "train.csv:2: '10%' is not a number; write it with a point before", "numbers"),
    "thousands": train('text,score\nx,"1,000"\ny,2\n', "train.csv:2: '1,000' is not a number; write it with a point", "numbers"),
    "a currency": train("text,score\nx,5 €\ny,2\n", "train.csv:2: '5 €' is not a number; write it with a point before", "numbers"),
    "an underscore": train("text,score\nx,1_0\ny,2\n", "train.csv:2: '1_0' is not a number; write it with", "numbers"),
    "labels for numbers": train(GOOD, "train.csv:2: 'a' is not a number; is data.target the right column?", "numbers"),
    "a sum that overflows": train("text,score\nx,1e300\ny,2\n", "train.csv:2: '1e300' is beyond 1e+100", "numbers"),
    "differences that underflow": train("text,score\nx,1e-300\ny,2e-300\n", "FOLDER: the target is 1e-300 for all of all", "numbers"),
    "one constant of two": train("text,v,w\nx,1,3\ny,2,3\n", "FOLDER: the target w is 3 for all of all", "numbers", target=["v", "w"]),
    "one number more in another file": Case({"train.jsonl": jsonl({"text": "x", "score": [1, 2]}, {"text": "y", "score": [2, 1]}),
                                             "dev.jsonl": jsonl({"text": "z", "score": 1})},
                                            "dev.jsonl:1: holds 1 number, but train.jsonl:1 holds 2", "numbers"),
    # Pairs and splits.
    "no second text in a row": train("text,text2,label\nx,,a\ny,z,b\n", "train.csv:2: has no second text", text_pair="text2"),
    "no split that is known": train(rows_by_split("1", "2"), "train.csv:2: '1' is neither train, dev", split_column="fold"),
    "half of a surrogate pair for a split": train('{"text": "x", "label": "a", "s": "\\ud83d"}\n', "train.jsonl:1: '\\ud83d' is neither",
                                                  name="train.jsonl", split_column="s"),
    "a file without the column of splits": Case({"a.csv": rows_by_split("train", "dev", "test"), "b.csv": GOOD},
                                                "b.csv: holds 'text', 'label', but no 'fold'", settings={"split_column": "fold", "split": None}),
    "cut off by split": Case({"all.json": '{"train": [["x", "a"], ["y"'}, "all.json:1: not JSON", settings={"split": None}),
    "equal texts alone": Case({"all.csv": "text,label\n" + "x,a\nx,b\n" * 6}, "FOLDER: no example in dev. Equal texts stay in one split, and there is 1",
                              settings={"split": {"dev": 0.2, "test": 0.2}}),
    # Parquet.
    "a column of Parquet twice": from_parquet({}, "train.parquet: has 2 columns named 'text'")._replace(
        files={"train.parquet": parquet(pa.Table.from_arrays([pa.array(BOTH)] * 3, names=["text", "text", "label"]))}),
    "a struct for a label": from_parquet({"text": BOTH, "label": [{"a": 1}] * 2}, "train.parquet:1: a label is a string or a whole number, not {'a': 1}"),
    "lists of lists": from_parquet({"text": BOTH, "label": [[["a"]], [["b"]]]}, "train.parquet:1: a label is a string or a whole number, not ['a']"),
    "dates for labels": from_parquet({"text": BOTH, "label": pa.array([1, 2], pa.date32())}, "train.parquet:1: a label is a string or a whole number, not datetime"),
    "no label at all": from_parquet({"text": BOTH, "label": pa.nulls(2)}, "train.parquet:1: has no label"),
    "numbers for texts": from_parquet({"text": [1, 2], "label": BOTH}, "train.parquet:1: its text must be a string, not 1"),
    "bytes for texts": from_parquet({"text": [b"x", b"\xff"], "label": BOTH}, "train.parquet:2: its text must be a string, not bytes that are not"),
    "a list of numbers without a name": from_parquet({"text": BOTH, "label": [[0], [5]]}, "train.parquet:2: the label 5 has no name",
                                                     {"label": {"feature": CLASS["label"], "_type": "List"}}),
    # Exports of other projects.
    "entities of doccano": train(jsonl({"text": "Anna ran", "label": [[0, 4, "PER"]]}), "train.jsonl:1: a label is a string or a whole number, not [0, 4, 'PER'], a span of the text. For entities take the task token_cl",
                                 name="train.jsonl"),
    "relations of doccano": train(jsonl({"text": "Anna ran", "entities": [], "relations": []}), "train.jsonl: holds 'text', 'entities', 'relations', but no label as",
                                  name="train.jsonl"),
    "ratings for labels": train(task("rating", 4), "FOLDER: no example in all", name="train.json"),
    "choices for numbers": train(task("choices", ["a"]), "FOLDER: no example in all", "numbers", name="train.json"),
    "boxes of label studio": train(task("rectanglelabels", ["a"]), "FOLDER: no example in all", name="train.json"),
    "records of columns": train(json.dumps({"text": ["x", "y"], "label": ["a", "b"]}), "train.json:1: its text must be a string, not ['x', 'y']", name="train.json"),
    "values for records": train("null\n[]\n5\n" + jsonl({"text": "x", "label": "a"}), "train.jsonl:3: needs an object with a text and its answer", name="train.jsonl"),
    # Folders and shards.
    "shards with other columns": Case({"train-00000-of-00002.csv": GOOD, "train-00001-of-00002.csv": "text,flag\nx,a\n", **REST},
                                      "train-00001-of-00002.csv: holds 'text', 'flag', but no label as"),
    "a shard too few": Case({"train-00000-of-00003.csv": GOOD, "train-00001-of-00003.csv": GOOD, **REST}, "FOLDER: 2 of 3 shards of the train split"),
    "a file and a folder of one split": Case({"train/a.csv": GOOD, "train.csv": GOOD, **REST}, "FOLDER: train/a.csv, train.csv all name the train"),
    "classes of other files": Case({"good/1.md": "x", "bad/2.md": "y"}, "FOLDER: no labelled texts in it. Files that are read end in csv"),
    "a folder of one class": Case({"good/1.txt": "x"}, "FOLDER: no labelled texts in it. Files that are read end in csv"),
    "a gzip cut off among others": Case({"train.jsonl.gz": gzip.compress(jsonl(*({"text": f"{n * n}", "label": "a"} for n in range(900))).encode())[:-900],
                                         "dev.csv": "words,label\nx,a\n", "test.csv": GOOD}, "train.jsonl.gz: the gzip is damaged"),
    "fasttext whose first line has no label": train("x\n__label__a y\n__label__b z\n", "train.txt:1: has no label", name="train.txt"),
    "fasttext without a text": train("__label__a\n__label__b z\n", "train.txt:1: has no text", name="train.txt"),
    "fasttext with two labels": train("__label__a __label__b y\n__label__b z\n", "train.txt:1: 2 labels where one is expected", name="train.txt"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_odd_files_are_refused_with_their_place(refuse: Callable[..., str], case: Case) -> None:
    message = refuse(case.files, case.wanted, **case.settings)
    lines = [line.strip() for line in message.splitlines()]
    assert any(line.startswith(case.expected) for line in lines), message


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("no header", "Is line 1 no header? Put one above it, such as text,label"),
        ("another separator", "name the column with data.label"),
        ("plain text", "Is line 1 divided by another character than '\\t'? Set data.separator"),
        ("classes of other files", "It has folders, of which one may be meant: bad, good"),
        ("a folder of one class", "It has the folder good; if that is a class: --set data.format=folders"),
        ("a gzip cut off among others", "dev.csv: holds 'words', 'label', but no text as"),
    ],
)
def test_refusal_says_what_to_do_next(refuse: Callable[..., str], name: str, advice: str) -> None:
    assert advice in refuse(REFUSED[name].files, **REFUSED[name].settings)


DOUBTFUL: dict[str, tuple[Files, dict[str, Any], str, str]] = {
    "joined labels of several": ({"train.csv": table(*many("a", "b", "a|b"))}, {"multi_label": True}, "joined-labels", "set data.label_separator='|'"),
    "joined labels alone": ({"train.csv": table(*many("a;b", "b;c", "a;c"))}, {}, "joined-labels", "a;b looks like several labels in one, as do 2 others"),
    "joined labels of doccano": ({"train.csv": table(*many("a", "b", "a#b"))}, {}, "joined-labels", "data.label_separator='#'"),
    "whole numbers as pandas writes them": ({"train.csv": table(*many("1", "1.0"))}, {}, "types-alike", "the labels '1' (6) and '1.0' (6)"),
    "case of a label": ({"train.csv": table(*many("Good", "good"))}, {}, "types-alike", "'Good' (6) and 'good' (6)"),
    "a column that may say the splits": ({"train.csv": "text,label,Split\nx,a,train\ny,b,dev\n"}, {}, "split-column", "set data.split_column=Split"),
    "a label that dev alone has": ({"train.csv": table(*many("a", "b")), "dev.csv": table("x,a", "y,b"), "test.csv": table("z,a")}, {},
                                   "untested-label", "b is not in test, so its score there is unknown"),
    "a text that occurs again and again": ({"train.csv": table(*["x,a"] * 9, "y,b")}, {}, "repeated", "8 texts repeat an earlier one of all"),
    "a class without a text": ({"good/1.txt": "x", "bad/2.txt": "y", "odd/3.md": "z"}, {}, "empty-class", "no text file in it, so it is no class"),
    "classes beside files": ({"train.csv": table(*many("a", "b")), "good/1.txt": "x", "bad/2.txt": "y"}, {}, "ignored-file", "it stands beside files. If it is a class: --set data.format=folders"),
    "a text of invisible characters": ({"train.csv": table(*many("a", "b"), "\u200b,a")}, {}, "no-token", "the tokenizer sees nothing in '\\u200b'"),
    "a slice of ids": ({"train.csv": "text,label,id\n" + "".join(f"t {n},{'ab'[n % 2]},{n}\n" for n in range(30))}, {"slices": ["id"]},
                       "many-slices", "the slice id has 30 values on 30 examples"),
    "a long text": ({"train.csv": table(*many("a", "b"), f"{'x ' * 70_000},a")}, {}, "long-texts", "the longest has 70,000"),
    "a name with half of a surrogate pair": ({"train.jsonl": '{"text": "x", "label": "a", "\\ud83d": 1}\n'}, {}, "extra-columns", "not read: '\\ud83d'"),
    "a header of other names": ({"train.csv": "Anrede,Art\nx,a\ny,b\n"}, {"text": 1, "label": 2}, "header", "was read as the names of the columns: 'Anrede', 'Art'"),
    "ratings skipped": ({"train.json": json.dumps([TASK, *json.loads(task("rating", 4))])}, {}, "records", "1 tasks without choices or taxonomy were skipped; they have rating"),
}  # fmt: skip


def count_visible(texts: pa.StringArray) -> Any:
    return count_words(pa.array([text.replace("\u200b", "") for text in texts.to_pylist()], pa.string()))


@pytest.mark.parametrize(("files", "settings", "code", "message"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_doubtful_files_are_read_with_a_warning(
    tmp_path: Path, files: Files, settings: dict[str, Any], code: str, message: str
) -> None:
    _, diagnostics = profile(open_files(tmp_path, files, **settings), count_tokens=count_visible)
    shown = [each.message for each in find(diagnostics, code)]
    assert any(message in each for each in shown), diagnostics.kept
    assert all(each.severity != "error" for each in find(diagnostics, code))


def test_numbers_that_differ_in_sign_are_not_alike(tmp_path: Path) -> None:
    _, diagnostics = profile(open_files(tmp_path, {"train.csv": table(*many("-1", "0", "1"))}))
    assert not find(diagnostics, "types-alike")


@pytest.mark.parametrize(
    ("files", "answers"),
    [
        ({"all.csv": "text,label,,\nx,a,,\ny,b,,\n"}, ["a", "b"]),  # as spreadsheets leave columns behind
        ({"all.csv": ",text,label\n0,x,a\n1,y,b\n"}, ["a", "b"]),  # the index of pandas
        ({"all.csv": " Text , Label \nx, a \ny,b\n"}, ["a", "b"]),
        ({"all.csv": "text,label\r\nx,a\ry,b\r\r\n"}, ["a", "b"]),
        (
            {"all.csv": "text,label\nx,1.0\ny,0.0\n", "dataset_info.json": json.dumps({"features": CLASS})},
            ["pos", "neg"],
        ),
        ({"all.csv": "text,label\nx,pos\ny,0\n", "dataset_info.json": json.dumps({"features": CLASS})}, ["pos", "neg"]),
    ],
)
def test_habits_of_programs_are_understood(tmp_path: Path, files: Files, answers: list[str]) -> None:
    assert [each.answer for each in read_all(open_files(tmp_path, files))] == [[answer] for answer in answers]


def test_secret_answers_of_datasets_are_gaps(refuse: Callable[..., str]) -> None:
    files: Files = {"all.csv": "text,label\nx,1\ny,-1\n", "dataset_info.json": json.dumps({"features": CLASS})}
    assert "all.csv:3: has no label" in refuse(files)


def test_decimals_of_parquet_are_numbers(tmp_path: Path) -> None:
    content = parquet({"text": ["x", "y"], "score": [Decimal("1.50"), Decimal("-2.25")]})
    assert [each.answer for each in read_all(open_files(tmp_path, {"all.parquet": content}, "numbers"))] == [
        [1.5],
        [-2.25],
    ]


def test_pair_in_the_other_order_is_the_same_if_it_is_symmetric(tmp_path: Path) -> None:
    rows = "".join(f"one {n},two {n},{n % 2}\ntwo {n},one {n},{n % 2}\n" for n in range(40))
    files: Files = {"all.csv": f"text,text2,label\n{rows}one 0,two 0,1\n"}
    shares = {"dev": 0.2, "test": 0.2}
    corpus = open_files(tmp_path, files, text_pair="text2", split=shares, symmetric=True)
    splits: dict[frozenset[str], set[str]] = {}
    for each in read_all(corpus):
        splits.setdefault(frozenset((each.text, str(each.pair))), set()).add(each.split)
    assert all(len(names) == 1 for names in splits.values())
    assert len(set.union(*splits.values())) == 3
    _, diagnostics = profile(corpus)
    assert len(find(diagnostics, "contradictions")) == 1


def test_numbers_in_one_column_are_named_by_their_place(tmp_path: Path) -> None:
    content = jsonl(*({"text": f"t {n}", "VA": [n, -n]} for n in range(9)))
    found, _ = profile(open_files(tmp_path, {"all.jsonl": content}, "numbers", target="VA"))
    figures = found.to_json(window=None)
    assert figures["targets"] == ["VA 1", "VA 2"]
    assert "labels" not in figures
    assert np.isclose(figures["splits"]["all"]["numbers"][1]["mean"], -4)
