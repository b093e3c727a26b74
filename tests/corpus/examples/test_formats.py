import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.corpus.examples.readers.columns import Wanted
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.examples.conftest import Files, Read, find, jsonl, open_files, profile, read_all

TEXTS = ("good", "bad, really", 'he said "no"')
LABELS = ("pos", "neg", "neg")


def parquet(columns: dict[str, Any] | pa.Table, features: dict[str, Any] | None = None) -> bytes:
    table = pa.table(columns) if isinstance(columns, dict) else columns
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def csv_of(rows: list[tuple[Any, ...]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


ROWS = [("text", "label"), *zip(TEXTS, LABELS, strict=True)]
CLASS = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
CLASS_LIST = {"labels": {"feature": {"names": ["a", "b"], "_type": "ClassLabel"}, "_type": "List"}}
TASK: dict[str, Any] = {
    "id": 1,
    "data": {"text": "t"},
    "annotations": [{"result": [{"type": "choices", "from_name": "s", "value": {"choices": ["a"]}}]}],
}
FORMS: dict[str, Files] = {
    "csv": {"all.csv": csv_of(ROWS)},
    "csv with a BOM and CR LF": {"all.csv": b"\xef\xbb\xbf" + csv_of(ROWS).replace("\n", "\r\n").encode()},
    "csv of old Macs": {"all.csv": csv_of(ROWS).replace("\n", "\r")},
    "gzip": {"all.csv.gz": gzip.compress(csv_of(ROWS).encode())},
    "semicolons": {"all.csv": csv_of(ROWS, ";")},
    "bars": {"all.csv": csv_of(ROWS, "|")},
    "tsv with quoted cells": {"all.tsv": csv_of(ROWS, "\t")},
    "tsv with quotes that are text": {"all.tsv": 'text\tlabel\ngood\tpos\nbad, really\tneg\nhe said "no"\tneg\n'},
    "columns in another order": {"all.csv": csv_of([(label, "x", text) for text, label in ROWS])},
    "other names": {"all.csv": csv_of([("Review Text", "Sentiment"), *ROWS[1:]])},
    "json lines": {"all.jsonl": jsonl(*({"text": t, "label": n} for t, n in ROWS[1:]))},
    "json lines named txt": {"all.txt": jsonl(*({"text": t, "label": n} for t, n in ROWS[1:]))},
    "json array": {"all.json": json.dumps([{"text": t, "label": n} for t, n in ROWS[1:]], indent=1)},
    "json array of lists": {"all.json": json.dumps([list(row) for row in ROWS[1:]])},
    "doccano": {"all.jsonl": jsonl(*({"id": 1, "text": t, "label": [n]} for t, n in ROWS[1:]))},
    "doccano of older versions": {"all.jsonl": jsonl(*({"id": 1, "data": t, "label": [n]} for t, n in ROWS[1:]))},
    "parquet": {"all.parquet": parquet({"text": TEXTS, "label": LABELS})},
    "parquet with a dictionary": {
        "all.parquet": parquet(
            {"text": pa.array(TEXTS, pa.large_string()), "label": pa.array(LABELS).dictionary_encode()}
        )
    },
    "parquet with numbers and their names": {"all.parquet": parquet({"text": TEXTS, "label": [1, 0, 0]}, CLASS)},
    "numbers that dataset_info.json names": {
        "all.csv": csv_of([("text", "label"), *zip(TEXTS, (1, 0, 0), strict=True)]),
        "dataset_info.json": json.dumps({"features": CLASS}),
    },
    "names before numbers": {"all.csv": csv_of([("text", "label", "label_text"), *((t, 1, n) for t, n in ROWS[1:])])},
    "fasttext": {"all.txt": "".join(f"__label__{label} {text}\n" for text, label in ROWS[1:])},
    "fasttext with the label behind": {"all.txt": "__label__pos good\n"
        + "".join(f"{text} __label__{label}\n" for text, label in ROWS[2:])},
    "json-min of label studio": {"all.json": json.dumps([{"text": t, "sentiment": n, "id": 1} for t, n in ROWS[1:]])},
    "folders": {f"{label}/{n}.txt": f"{text}\n" for n, (text, label) in enumerate(ROWS[1:])},
    "parallel": {"seq.in": "".join(f"{t}\n" for t in TEXTS), "label": "".join(f"{n}\n" for n in LABELS)},
    "shards": {
        "train-00000-of-00002.csv": csv_of(ROWS[:2]),
        "train-00001-of-00002.csv": csv_of([ROWS[0], *ROWS[2:]]),
    },
}  # fmt: skip


@pytest.mark.parametrize("files", FORMS.values(), ids=FORMS)
def test_formats_are_read_alike(tmp_path: Path, files: Files) -> None:
    diagnostics = Diagnostics()
    found = read_all(open_files(tmp_path, files), diagnostics)
    assert sorted((each.text, each.answer) for each in found) == sorted(
        (text, [label]) for text, label in zip(TEXTS, LABELS, strict=True)
    )
    assert not diagnostics.of("error")


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("profit rose@positive\ncall me@home@negative\nflat, so far@neutral\nloss@negative\nit rose@positive\n", {}),
        ("profit rose#positive\ncall me#home#negative\nflat, so far#neutral\nloss#negative\nit rose#positive\n",
         {"separator": "#"}),
    ],
)  # fmt: skip
def test_table_without_names_is_split_at_the_last_separator(
    tmp_path: Path, content: str, settings: dict[str, Any]
) -> None:
    found = read_all(open_files(tmp_path, {"all.txt": content}, **settings))
    assert [each.answer for each in found] == [["positive"], ["negative"], ["neutral"], ["negative"], ["positive"]]
    assert found[1].text in ("call me@home", "call me#home")
    assert found[1].where == "all.txt:2"


def test_table_without_names_takes_numbers_for_columns(tmp_path: Path) -> None:
    content = "1\tx\tgood\n2\ty\tbad\n3\tx\tfine\n"
    found = read_all(open_files(tmp_path, {"all.tsv": content}, text=3, label=2))
    assert [(each.text, each.answer) for each in found] == [("good", ["x"]), ("bad", ["y"]), ("fine", ["x"])]


def test_label_names_of_a_file_replace_numbers(tmp_path: Path) -> None:
    files: Files = {"train.txt": "甲乙丙\t1\n丁戊\t0\n己庚辛\t1\n", "class.txt": "finance\nrealty\n"}
    corpus = open_files(tmp_path, files, label_names="class.txt")
    assert [each.answer for each in read_all(corpus)] == [["realty"], ["finance"], ["realty"]]
    assert [path.name for path, _ in corpus.files] == ["train.txt"]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    content = 'text,label\n"one\nover two",a\n\nthree,b\n'
    assert [each.where for each in read_all(open_files(tmp_path, {"all.csv": content}))] == ["all.csv:2", "all.csv:5"]
    array = '[\n {"text": "x",\n  "label": "a"},\n {"text": "y", "label": "b"}\n]'
    (tmp_path / "all.csv").unlink()
    assert [each.where for each in read_all(open_files(tmp_path, {"all.json": array}))] == ["all.json:2", "all.json:4"]
    one_line = '[{"text": "x", "label": "a"}, {"text": "y", "label": "b"}]'
    assert [each.where for each in read_all(open_files(tmp_path, {"all.json": one_line}))] == [
        "all.json:1",
        "all.json:2",
    ]


def test_folder_of_classes_names_the_file_of_each_text(tmp_path: Path) -> None:
    files: Files = {
        "train/pos/1.txt": "good",
        "train/neg/2.txt": "bad",
        "test/pos/3.txt": "fine",
        "test/neg/4.txt": "no",
    }
    found = read_all(open_files(tmp_path, files))
    assert [(each.where, each.answer, each.split) for each in found] == [
        ("train/neg/2.txt", ["neg"], "train"),
        ("train/pos/1.txt", ["pos"], "train"),
        ("test/neg/4.txt", ["neg"], "test"),
        ("test/pos/3.txt", ["pos"], "test"),
    ]


def test_json_by_split_reads_the_splits_and_notes_the_others(tmp_path: Path) -> None:
    content = json.dumps(
        {"oos_val": [["o", "oos"]], "val": [["v", "a"]], "train": [["long text", "a"]], "test": [["t", "b"]]}
    )
    corpus, diagnostics = open_files(tmp_path, {"data_full.json": content}), Diagnostics()
    assert [(each.text, each.split) for each in read_all(corpus, diagnostics)] == [
        ("v", "dev"), ("long text", "train"), ("t", "test")
    ]  # fmt: skip
    assert "oos_val (1)" in find(diagnostics, "other-splits")[0].message


def test_split_column_names_the_split_of_each_row(tmp_path: Path) -> None:
    content = "id,split,V,A,text\n1,train,3.0,1,x\n2,dev,2.5,2,y\n3,test,1.25,3,z\n"
    corpus = open_files(tmp_path, {"all.csv": content}, "numbers", target=["V", "A"], split_column="split")
    assert [(each.answer, each.split) for each in read_all(corpus)] == [
        ([3.0, 1.0], "train"), ([2.5, 2.0], "dev"), ([1.25, 3.0], "test")
    ]  # fmt: skip


def test_split_column_leaves_train_to_be_cut(tmp_path: Path) -> None:
    content = "split,label,text\n" + "".join(f"{'test' if n < 5 else 'train'},{n % 2},text {n}\n" for n in range(45))
    corpus = open_files(tmp_path, {"all.csv": content}, split_column="split", split={"dev": 0.25})
    splits = [each.split for each in read_all(corpus)]
    assert splits[:5] == ["test"] * 5
    assert splits[5:].count("dev") == 10
    assert corpus.given == ["test"]


def test_pairs_and_slices_are_read(tmp_path: Path) -> None:
    content = "premise,hypothesis,label,region\n a , b ,yes,north\nc,d,no,\n"
    corpus = open_files(tmp_path, {"all.csv": content}, text_pair="auto", slices=["region"])
    assert read_all(corpus) == [
        Read("a", ["yes"], "all", "all.csv:2", "b", {"region": "north"}),
        Read("c", ["no"], "all", "all.csv:3", "d", {"region": ""}),
    ]


MULTIPLE: dict[str, tuple[Files, dict[str, Any]]] = {
    "json lists": ({"all.jsonl": jsonl({"text": "x", "labels": ["a", "b"]}, {"text": "y"})}, {}),
    "separated": ({"all.csv": "text,labels\nx,a|b\ny,\n"}, {"label_separator": "|"}),
    "list in a cell": ({"all.csv": "text,labels\nx,\"['a', 'b']\"\ny,[]\n"}, {}),
    "columns of 0 and 1": ({"all.csv": "text,a,b\nx,1,1.0\ny,0,False\n"}, {"label": ["a", "b"]}),
    "parquet lists": ({"all.parquet": parquet({"text": ["x", "y"], "labels": [["a", "b"], []]})}, {}),
    "parquet lists of numbers": (
        {"all.parquet": parquet({"text": ["x", "y"], "labels": [[0, 1], []]}, CLASS_LIST)},
        {},
    ),
    "fasttext": ({"all.txt": "__label__a __label__b x\ny\n"}, {}),
    "label studio": (
        {"all.json": json.dumps([
            TASK | {"data": {"text": "x"}, "annotations": [
                {"result": [{"type": "choices", "from_name": "s", "value": {"choices": ["a", "b"]}}]}]},
            TASK | {"data": {"text": "y"}, "annotations": [{"result": []}]},
        ])}, {},
    ),
    "csv of label studio": ({"all.csv": 'text,topic\nx,"{""choices"": [""a"", ""b""]}"\ny,\n'}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("files", "settings"), MULTIPLE.values(), ids=MULTIPLE)
def test_several_labels_are_read_alike(tmp_path: Path, files: Files, settings: dict[str, Any]) -> None:
    diagnostics = Diagnostics()
    found = read_all(open_files(tmp_path, files, multi_label=True, **settings), diagnostics)
    assert [(each.text, each.answer) for each in found] == [("x", ["a", "b"]), ("y", [])]
    assert not diagnostics.of("error")


def test_label_studio_skips_what_is_not_annotated(tmp_path: Path) -> None:
    cancelled = TASK | {"annotations": [{"was_cancelled": True, "result": TASK["annotations"][0]["result"]}]}
    tasks = [TASK, cancelled, TASK | {"annotations": []}, TASK | {"annotations": [{"result": []}]}]
    diagnostics = Diagnostics()
    found = read_all(open_files(tmp_path, {"all.json": json.dumps(tasks)}), diagnostics)
    assert [each.answer for each in found] == [["a"]]
    messages = " ".join(each.message for each in find(diagnostics, "records"))
    assert "2 tasks without an annotation" in messages
    assert "1 tasks without choices or taxonomy" in messages


def test_label_studio_ratings_are_numbers(tmp_path: Path) -> None:
    rated = TASK | {"annotations": [{"result": [{"type": "rating", "from_name": "s", "value": {"rating": 4}}]}]}
    assert read_all(open_files(tmp_path, {"all.json": json.dumps([rated])}, "numbers"))[0].answer == [4.0]


@pytest.mark.parametrize(
    ("content", "name", "wanted"),
    [
        ("text,score\nx,3\ny,-1.5e1\n", "all.csv", "numbers"),
        (jsonl({"text": "x", "score": 3}, {"text": "y", "score": -15.0}), "all.jsonl", "numbers"),
        (jsonl({"text": "x", "score": [3]}, {"text": "y", "score": "-15"}), "all.jsonl", "numbers"),
        ("xxxxxx\t3\nyyyyyy\t-15\n", "all.tsv", "numbers"),
    ],
)
def test_numbers_are_read_alike(tmp_path: Path, content: str, name: str, wanted: Wanted) -> None:
    assert [each.answer for each in read_all(open_files(tmp_path, {name: content}, wanted))] == [[3.0], [-15.0]]


def test_texts_of_many_blocks_keep_their_lines(tmp_path: Path) -> None:
    content = "text,label\n" + "".join(f"text {n},{n % 3}\n" for n in range(40_000))
    blocks = list(open_files(tmp_path, {"all.csv": content}).blocks(Diagnostics()))
    assert len(blocks) > 2
    lines = [line for block, _ in blocks for line in block.lines.tolist()]
    assert lines == list(range(2, 40_002))


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\x1f\ufeff"), min_size=1, max_size=8).filter(
    lambda cell: cell.strip() == cell
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, st.sampled_from(["a", "b", "c d"])), min_size=1, max_size=6), st.sampled_from(",;\t"))
def test_csv_is_read_back_as_written(tmp_path: Path, rows: list[tuple[str, str]], delimiter: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([ROWS[0], *rows])
    found = read_all(open_files(tmp_path, {"all.csv": buffer.getvalue()}, separator=delimiter))
    assert [(each.text, each.answer) for each in found] == [(text, [label]) for text, label in rows]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, st.lists(st.sampled_from("abc"), unique=True)), min_size=1, max_size=6))
def test_json_is_read_back_as_written(tmp_path: Path, rows: list[tuple[str, list[str]]]) -> None:
    content = jsonl(*({"text": text, "labels": labels} for text, labels in rows))
    found = read_all(open_files(tmp_path, {"all.jsonl": content}, multi_label=True))
    assert [(each.text, each.answer) for each in found] == rows


def test_extra_columns_are_a_note(tmp_path: Path) -> None:
    _, diagnostics = profile(open_files(tmp_path, {"train.csv": "text,label,author\nx,a,me\ny,b,me\n"}))
    (note,) = find(diagnostics, "extra-columns")
    assert note.severity == "note"
    assert "author" in note.message
