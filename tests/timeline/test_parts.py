"""A corpus is cut by a column, and the parts so far are joined; what is read of both is what was there."""

import csv
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.timeline import parts
from pipeline.timeline.parts import cut_by_column, use_folders
from stages.corpus.examples.reading import open_examples
from stages.corpus.text.diagnostics import Diagnostics
from stages.errors import CorpusError, UserError
from stages.params import read_document
from stages.tasks.text_classification.data.params import DataParams
from tests.checkouts import ROOT

TASK = {"name": "text_classification", "multi_label": False, "symmetric": False}
MONTHS = ("2026-01", "2026-02", "2026-03")
ROWS = [
    (split, f"Text {number} of {split},\nwith \"quotes\"" if number % 2 else f"Text {number} of {split}",
     ("good", "bad")[number // 3 % 2], MONTHS[number % 3])
    for split in ("train", "dev", "test") for number in range(12)
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts, "dvc_add", lambda _: None)


def write_csv(folder: Path) -> None:
    for split in ("train", "dev", "test"):
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(("text", "label", "month"))
            table.writerows(row[1:] for row in ROWS if row[0] == split)


def write_json_lines(folder: Path) -> None:
    for split in ("train", "dev", "test"):
        lines = [
            json.dumps({"text": text, "label": label, "month": month}) for s, text, label, month in ROWS if s == split
        ]
        with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.write("\n".join(lines))  # no line end behind the last


def data_of(folder: Path) -> dict[str, Any]:
    section: dict[str, Any] = read_document(ROOT / "examples/sentiment/params.yaml")["data"]
    return {**section, "dir": str(folder), "label": "label", "slices": []}


def read(folder: Path) -> set[tuple[str, str, str]]:
    corpus = open_examples(DataParams.model_validate(data_of(folder)), wanted="labels")
    diagnostics = Diagnostics()
    found = {
        (corpus.splits[split], text.as_py(), label.as_py()[0])
        for block, split_E in corpus.blocks(diagnostics)
        for split, text, label in zip(split_E, block.texts, block.labels, strict=True)
    }
    diagnostics.raise_errors("not readable")
    return found


@pytest.mark.parametrize("write", [write_csv, write_json_lines])
def test_corpus_is_cut_by_a_column_and_joined_again(write: Any) -> None:
    folder = Path("reviews")
    folder.mkdir()
    write(folder)
    cut = cut_by_column(data_of(folder), TASK, "month")
    assert [part.name for part in cut] == list(MONTHS)
    for number, part in enumerate(cut, start=1):
        assert read(part.folder) == {row[:3] for row in ROWS if row[3] == part.name}
        assert read(part.so_far) == {row[:3] for row in ROWS if row[3] in MONTHS[:number]}
    assert cut_by_column(data_of(folder), TASK, "month") == cut


def test_folders_are_parts_in_the_order_given() -> None:
    for name in ("first", "second"):
        Path(name).mkdir()
    write_csv(Path("first"))
    write_json_lines(Path("second"))
    shutil.rmtree("data", ignore_errors=True)
    (first, second) = use_folders([Path("first"), Path("second")], "mine")
    assert (first.name, second.name) == ("first", "second")
    assert sorted(path.name for path in (second.so_far / "train").iterdir()) == ["first.csv", "second.jsonl.gz"]
    assert read(second.so_far) == {row[:3] for row in ROWS}


@pytest.mark.parametrize(
    ("column", "task", "error", "message"),
    [
        ("year", TASK, CorpusError, "year"),
        ("month", {"name": "token_classification", "head": "linear"}, UserError, "have no columns. Give a folder"),
    ],
)
def test_a_column_that_is_not_there_is_refused(
    column: str, task: dict[str, Any], error: type[Exception], message: str
) -> None:
    folder = Path("reviews")
    folder.mkdir()
    data = data_of(folder)
    if task is TASK:
        write_csv(folder)
    else:
        (folder / "train.conll").write_text("Anna B-PER\n\n", encoding="utf-8")
        data = {**read_document(ROOT / "params.yaml")["data"], "dir": str(folder)}
    with pytest.raises(error, match=message):
        cut_by_column(data, task, column)
    assert not Path("data").exists()


@pytest.mark.parametrize("names", [["a"], ["a", "b/a"], ["a", "c"]], ids=["one", "of one name", "missing"])
def test_folders_that_are_no_parts_are_refused(names: list[str]) -> None:
    for name in ("a", "b/a"):
        Path(name).mkdir(parents=True)
    with pytest.raises(UserError, match=r"no such folder|at least two folders"):
        use_folders([Path(name) for name in names], "mine")
