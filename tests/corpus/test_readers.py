"""JSON, Parquet and CSV, as programs write them: what goes in comes out."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings

from stages.corpus.readers import text_files
from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import (
    NASTY,
    SENTENCES,
    Pairs,
    data_params,
    fill,
    jsonl,
    lists,
    pairs,
    parquet,
    read,
    read_file,
)

LABELS = sorted({tag for sentence in NASTY for _, tag in sentence} | {"I-PER", "B-PER"})
Write = Callable[[Path, Pairs], Path]


def json_lines(folder: Path, sentences: Pairs) -> Path:
    columns = lists(sentences)
    records = [{"tokens": w, "ner_tags": t} for w, t in zip(columns["tokens"], columns["ner_tags"], strict=True)]
    return fill(folder, {"all.jsonl": jsonl(*records)}) / "all.jsonl"


def json_array(folder: Path, sentences: Pairs) -> Path:
    records = [json.loads(line) for line in json_lines(folder, sentences).read_text().splitlines()]
    return fill(folder, {"all.json": json.dumps(records, indent=1, ensure_ascii=False)}) / "all.json"


def python_csv(folder: Path, sentences: Pairs) -> Path:
    columns = lists(sentences)
    with (folder / "all.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return folder / "all.csv"


def cells_of(write: Callable[[list[str]], str], sentences: Pairs) -> list[list[str]]:
    """A row of names and a row a sentence, with what `write` makes of its words and of its tags."""
    columns = lists(sentences)
    return [list(columns), *([write(words), write(tags)] for words, tags in zip(*columns.values(), strict=True))]


def separated(folder: Path, rows: list[list[str]], name: str, delimiter: str) -> Path:
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return folder / name


def php_csv(folder: Path, sentences: Pairs) -> Path:
    def write(words: list[str]) -> str:
        return json.dumps(words).replace("/", r"\/")

    return separated(folder, cells_of(write, sentences), "all.csv", ",")


def mixed_csv(folder: Path, sentences: Pairs) -> Path:
    rows = [cells_of(write, sentences) for write in (json.dumps, repr)]
    return separated(folder, [rows[n % 2][n] for n in range(len(rows[0]))], "all.csv", ";")


def json_tsv(folder: Path, sentences: Pairs) -> Path:
    return separated(folder, cells_of(json.dumps, sentences), "all.tsv", "\t")


def parquet_of_cells(folder: Path, sentences: Pairs) -> Path:
    header, *rows = cells_of(json.dumps, sentences)
    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    return fill(folder, {"all.parquet": parquet(columns)}) / "all.parquet"


def json_of_cells(folder: Path, sentences: Pairs) -> Path:
    header, *rows = cells_of(repr, sentences)
    return fill(folder, {"all.jsonl": jsonl(*(dict(zip(header, row, strict=True)) for row in rows))}) / "all.jsonl"


def arrow_parquet(folder: Path, sentences: Pairs) -> Path:
    return fill(folder, {"all.parquet": parquet(lists(sentences))}) / "all.parquet"


WRITERS = [
    json_lines, json_array, python_csv, arrow_parquet, php_csv, mixed_csv, json_tsv, parquet_of_cells, json_of_cells
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS)
@given(sentences=SENTENCES)
@example(sentences=NASTY)
@settings(max_examples=50)
def test_readers_return_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, write: Write, sentences: Pairs
) -> None:
    assert pairs(read_file(write(tmp_path_factory.mktemp("corpus"), sentences))) == sentences


@pytest.mark.parametrize("write", WRITERS)
def test_readers_unpack_gzip(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, NASTY)
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert pairs(read_file(packed)) == NASTY


@pytest.mark.parametrize("write", [json_lines, python_csv, json_tsv])
@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_readers_read_alike_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, chunk: int
) -> None:
    path = write(tmp_path, NASTY)
    whole = read_file(path)
    monkeypatch.setattr(text_files, "CHUNK", chunk)
    assert read_file(path) == whole


def test_csv_reads_text_with_spans(tmp_path: Path) -> None:
    """Label Studio and pandas write spans into one cell, in JSON or in Python."""
    spans = [{"start": 0, "end": 4, "text": "Bonn", "labels": ["LOC"]}]
    rows = [["text", "label"], ["Bonn rains", json.dumps(spans)], ["Bonn rains", repr(spans)], ["It rains", "[]"]]
    assert pairs(read_file(separated(tmp_path, rows, "x.csv", ","))) == [
        [("Bonn", "B-LOC"), ("rains", "O")],
        [("Bonn", "B-LOC"), ("rains", "O")],
        [("It", "O"), ("rains", "O")],
    ]


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, silent and with its caches in a temporary folder."""
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    found = pytest.importorskip("datasets", reason="the datasets library is not installed")
    found.disable_progress_bars()
    return found


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
@pytest.mark.parametrize("packed", [True, False])
def test_readers_read_what_hugging_face_datasets_write(
    tmp_path: Path, datasets: Any, kind: str, numbered: bool, packed: bool
) -> None:
    text, tag = datasets.Value("string"), datasets.ClassLabel(names=LABELS) if numbered else datasets.Value("string")
    features = datasets.Features({"tokens": datasets.Sequence(text), "ner_tags": datasets.Sequence(tag)})
    columns: dict[str, list[Any]] = lists(NASTY)
    if numbered:
        columns["ner_tags"] = [[LABELS.index(tag) for tag in tags] for tags in columns["ner_tags"]]
    dataset = datasets.Dataset.from_dict(columns, features=features)
    dataset.save_to_disk(tmp_path / "saved")  # for the dataset_info.json in it; its .arrow files are not read
    path = tmp_path / "saved" / f"all.{kind}"
    getattr(dataset, f"to_{kind}")(path)
    if packed:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    corpus = open_corpus(data_params(tmp_path / "saved"), allow_unsplit=True)
    assert pairs(read(corpus)["all"]) == NASTY


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.jsonl"])
@pytest.mark.parametrize("info", ["dataset_info.json", "train/dataset_info.json"])
def test_readers_find_the_names_of_tag_numbers_beside_the_file(tmp_path: Path, name: str, info: str) -> None:
    feature = {"feature": {"names": ["O", "B-LOC"], "_type": "ClassLabel"}, "_type": "Sequence"}
    content = {
        "x.parquet": parquet({"tokens": [["Bonn", "rains"]], "ner_tags": [[1, 0]]}),
        "x.csv": "tokens,ner_tags\n\"['Bonn', 'rains']\",[1 0]\n",
        "x.jsonl": jsonl({"tokens": ["Bonn", "rains"], "ner_tags": [1, 0]}),
    }[name]
    files = {f"{split}/{name}": content for split in ("train", "dev", "test")}
    described = json.dumps({"features": {"ner_tags": feature}})
    place = fill(tmp_path / "data", files | {info: described})
    found = read(open_corpus(data_params(place)), diagnostics := Diagnostics())
    if info == "dataset_info.json":
        assert pairs(found["test"]) == [[("Bonn", "B-LOC"), ("rains", "O")]]
    else:
        assert pairs(found["train"]) == [[("Bonn", "B-LOC"), ("rains", "O")]]
        assert not found["test"]
        assert all("without a name" in error.message for error in diagnostics.of("error"))


def test_readers_look_for_names_within_the_corpus_alone(tmp_path: Path) -> None:
    """A file outside is no declared input: changing it would make no stage stale."""
    feature = {"feature": {"names": ["O", "B-LOC"], "_type": "ClassLabel"}, "_type": "List"}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"ner_tags": feature}}))
    place = fill(tmp_path / "data", {"x.jsonl": jsonl({"tokens": ["Bonn"], "ner_tags": [1]})})
    diagnostics = Diagnostics()
    read(open_corpus(data_params(place), allow_unsplit=True), diagnostics)
    assert [error.code for error in diagnostics.of("error")] == ["record"]


def test_readers_read_the_shards_of_a_hub_dataset_in_order(tmp_path: Path) -> None:
    shards = [NASTY[:2], NASTY[2:4], NASTY[4:]]
    rest = {f"{split}-00000-of-00001.parquet": parquet(lists(NASTY[:1])) for split in ("validation", "test")}
    files = {f"train-{n:05}-of-00003.parquet": parquet(lists(shard)) for n, shard in enumerate(shards)}
    splits = read(open_corpus(data_params(fill(tmp_path / "hub", files | rest))))
    assert pairs(splits["train"]) == NASTY
    assert pairs(splits["dev"]) == NASTY[:1]


def test_readers_read_the_fields_that_the_parameters_name(tmp_path: Path) -> None:
    columns = {"tokens": [["x"]], "form": [["Bonn"]], "tags": [["O"]], "gold": [["B-LOC"]]}
    record = {name: column[0] for name, column in columns.items()}
    fill(tmp_path, {"x.jsonl": jsonl(record), "x.parquet": parquet(columns)})
    for name in ("x.jsonl", "x.parquet"):
        assert pairs(read_file(tmp_path / name, words="form", tags="gold")) == [[("Bonn", "B-LOC")]]
