"""What Parquet has beyond other formats: types of lists, batches of rows, null rows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.corpus.readers import tables
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import NASTY, fill, lists, pairs, parquet, read_file


def test_parquet_counts_rows_over_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 2)
    sentences = read_file(fill(tmp_path, {"all.parquet": parquet(lists(NASTY))}) / "all.parquet")
    assert [sentence.line for sentence in sentences] == [1, 2, 3, 4, 5]
    assert pairs(sentences) == NASTY


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.string(), 2),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
        pa.list_(pa.dictionary(pa.int32(), pa.large_string())),
        pa.list_(pa.string_view()),
        pa.large_list(pa.string_view()),
        pa.list_(pa.string_view(), 2),
        pa.list_view(pa.string()),
        pa.list_view(pa.string_view()),
        pa.large_list_view(pa.large_string()),
        pa.list_(pa.binary()),
        pa.list_(pa.large_binary()),
        pa.list_(pa.binary_view()),
    ],
    ids=str,
)
def test_parquet_reads_each_type_of_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType) -> None:
    monkeypatch.setattr(tables, "ROWS", 2)
    sentences = [[("Bonn", "B-LOC"), ("rains", "O")], [("a", "O"), ("b", "O")], [("Ulm", "B-LOC"), ("is", "O")]]
    # Arrow itself does not read lists of a fixed size back from Parquet if one is null.
    none = [] if pa.types.is_fixed_size_list(kind) else [None]
    columns = {name: pa.array([*column[:1], *none, *column[1:]]) for name, column in lists(sentences).items()}
    in_dictionary = pa.types.is_dictionary(kind.value_type)
    table = pa.table(
        {
            name: column.cast(kind) if in_dictionary else pa.array(column.to_pylist(), kind)
            for name, column in columns.items()
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert pq.read_schema(tmp_path / "x.parquet").field(0).type.id == kind.id
    found = read_file(tmp_path / "x.parquet")
    assert pairs(found) == sentences
    assert [sentence.line for sentence in found] == [1, 2 + len(none), 3 + len(none)]


@pytest.mark.parametrize(
    "kind", [pa.list_view(pa.int64()), pa.large_list(pa.uint8()), pa.list_(pa.int32(), 2)], ids=str
)
def test_parquet_names_tag_numbers_in_each_type_of_list(tmp_path: Path, kind: pa.DataType) -> None:
    content = parquet({"tokens": [["Bonn", "rains"]], "ner_tags": pa.array([[1, 0]], kind)}, names=["O", "B-LOC"])
    path = fill(tmp_path, {"x.parquet": content}) / "x.parquet"
    assert pairs(read_file(path)) == [[("Bonn", "B-LOC"), ("rains", "O")]]


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view(), pa.large_string()], ids=str)
def test_parquet_reads_text_with_spans(tmp_path: Path, kind: pa.DataType) -> None:
    spans = [[{"start": 0, "end": 4, "label": "LOC"}], []]
    columns = {"text": pa.array(["Bonn rains", "It rains"], kind), "entities": spans}
    path = fill(tmp_path, {"x.parquet": parquet(columns)}) / "x.parquet"
    assert pairs(read_file(path)) == [[("Bonn", "B-LOC"), ("rains", "O")], [("It", "O"), ("rains", "O")]]


def test_parquet_leaves_out_rows_with_a_fault_alone(tmp_path: Path) -> None:
    columns = {
        "tokens": [["a"], ["b", "c"], [None], ["d"], ["e"]],
        "ner_tags": [["O"], ["O"], ["O"], ["B-LOC"], [None]],
    }
    diagnostics = Diagnostics()
    found = read_file(fill(tmp_path, {"x.parquet": parquet(columns)}) / "x.parquet", diagnostics)
    assert [(sentence.words, sentence.line) for sentence in found] == [(("a",), 1), (("d",), 4)]
    assert [error.where.rpartition(":")[2] for error in diagnostics.of("error")] == ["2", "3", "5"]


def test_parquet_skips_empty_and_null_rows(tmp_path: Path) -> None:
    columns = {"tokens": [[], ["a"], None, ["b"]], "ner_tags": [[], ["O"], None, ["B-X"]]}
    sentences = read_file(fill(tmp_path, {"x.parquet": parquet(columns)}) / "x.parquet")
    assert [(sentence.words, sentence.line) for sentence in sentences] == [(("a",), 2), (("b",), 4)]
