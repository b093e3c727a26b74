"""Files that something damaged, and records that nobody expects: each fault is reported, and nothing is raised."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.corpus.profile import profile_corpus
from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import GOOD, NASTY, data_params, fill, jsonl, lists, parquet


def check(place: Path) -> None:
    """Read everything; each fault must be a diagnostic with its place."""
    diagnostics = Diagnostics()
    profile_corpus(
        open_corpus(data_params(place), allow_unsplit=True),
        diagnostics,
        count_tokens=None,
        context="sentence",
        on_block=lambda _: None,
    )
    assert all(diagnostic.message and str(place) in diagnostic.where for diagnostic in diagnostics.of("error"))


SOUND = {
    "x.conll": GOOD.encode() * 3,
    "x.jsonl": jsonl(
        {"tokens": ["a", "b"], "tags": ["O", "B-X"], "doc": 1}, {"text": "a", "label": [[0, 1, "X"]]}
    ).encode(),
    "x.json": json.dumps([{"text": "a b", "entities": [{"start": 0, "end": 1, "labels": ["X"]}]}] * 2).encode(),
    "x.csv": b'tokens,ner_tags\n"[\'a\', \'b\\\\n\']","[\'O\' \'B-X\']"\n"[""a""]","[\'O\']"\n',
    "x.parquet": parquet(lists(NASTY)),
    "x.conll.gz": gzip.compress(GOOD.encode() * 3, mtime=0),
    "x.parquet.gz": gzip.compress(parquet(lists(NASTY)), mtime=0),
}


@pytest.mark.parametrize("name", SOUND)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_readers_report_damaged_files_and_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Bytes overwritten, put in, or cut off at the end: what can be read is read, the rest becomes diagnostics."""
    content = SOUND[name]
    at = data.draw(st.integers(0, len(content)))
    put = data.draw(
        st.binary(max_size=4) | st.sampled_from([b'"', b"'", b"[", b"{", b"\\u", b"\n", b"\t", b"\r", b"null"])
    )
    end = data.draw(st.sampled_from([at, at + len(put), len(content)]))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content[:at] + put + content[end:])
    check(path)


FIELDS = (
    "tokens",
    "text",
    "tags",
    "label",
    "spans",
    "entities",
    "data",
    "annotations",
    "result",
    "value",
    "type",
    "answer",
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(["O", "B-X", "a b", "accept", " "])
)
VALUES = st.recursive(
    LEAVES | st.text(max_size=3),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from((*FIELDS, "start", "end", "labels", "doc")), values, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6) | VALUES, max_size=4))
@settings(max_examples=300)
def test_json_reports_any_other_records_and_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any]
) -> None:
    check(fill(tmp_path_factory.mktemp("json"), {"x.jsonl": jsonl({"tokens": ["a"], "tags": ["O"]}, *records)}))


@given(st.lists(st.lists(st.text(st.sampled_from("[]'\"\\,ab1 \n-Oux{}é")), max_size=3), max_size=4))
@settings(max_examples=200)
def test_csv_reports_any_other_cells_and_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    cells = [[f"[{cell}]" if number % 2 else cell for cell in row] for number, row in enumerate(rows)]
    place = tmp_path_factory.mktemp("csv")
    with (place / "x.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["tokens", "tags"], *cells])
    check(place)
