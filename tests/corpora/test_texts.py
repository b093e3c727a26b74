"""Labelled texts in `tuneline check`, `import`, `compare` and `predict`: what the commands ask their tasks for."""

import os
from pathlib import Path
from unittest import mock

import pytest

from pipeline.checkout.layout import enter_root
from pipeline.cli.corpora import _report_import
from pipeline.corpora.download import download
from pipeline.corpora.importing import ImportedCorpus
from stages.task import load_part
from stages.tasks.text_classification import presentation
from stages.tasks.text_classification.tools.comparison import open_compared
from stages.tools.compare_corpora import Side, find_differences, pair_examples
from tests.checkouts import ROOT
from tests.corpus.examples.conftest import ANSWERS, SETTINGS, write


def test_table_of_150_labels_shows_the_most_frequent_and_the_rarest() -> None:
    labels = {f"label{number:03}": 200 - number for number in range(150)}
    splits = {"train": {"examples": 20_000, "labels": labels, "labels_per_example": {"1": 20_000}}}
    table = presentation.tabulate_corpus({"labels": list(labels), "splits": splits, "window": 254})
    shown = [row[0].strip() for row in table.rows]
    assert len(shown) < 30
    assert ["  label000", "200 (  1%)"] in table.rows
    assert {"label149", "... 134 more"} <= set(shown)
    assert "label075" not in shown


def test_texts_are_relabelled_and_moved(tmp_path: Path) -> None:
    first = {
        "train.csv": "text,label\na,x\nb,y\nc,x\n",
        "dev.csv": "text,label\nd,x\n",
        "test.csv": "text,label\ne,y\n",
    }
    second = first | {"train.csv": "text,label\na,y\nb,y\n", "dev.csv": "text,label\nd,x\nc,x\n"}
    sides = [
        Side.read(
            open_compared(
                {"dir": str(write(tmp_path / name, dict(files))), **SETTINGS, **ANSWERS["labels"]},
                {"multi_label": False, "symmetric": False},
            )
        )
        for name, files in (("first", first), ("second", second))
    ]
    found = find_differences(*sides, pair_examples(sides[0].examples, sides[1].examples), examples=5)
    assert found["counts"] == {"added": 0, "removed": 0, "relabelled": 1, "moved": 1}
    assert found["examples"][0]["second"] == {"text": "a", "labels": ["y"], "where": "train.csv:2", "split": "train"}


@pytest.mark.parametrize("task", ["text_classification", "regression"])
def test_next_steps_of_an_import_are_right_in_the_folder_of_a_pipeline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    monkeypatch.chdir(ROOT / "examples/sentiment")
    with mock.patch.dict(os.environ):
        enter_root()
        part = load_part(task, "tools.importing")
        reading = {**part.READING, "data.text": "review", "data.separator": "|"}
        path, splits = Path("data/corpora/mine"), {"train": {}, "test": {}}
        _report_import(ImportedCorpus(path, path.with_suffix(".dvc"), "", "", task, part, reading, {"splits": splits}))
    shown = {line[2:22].strip(): line[23:] for line in capsys.readouterr().out.partition("Next:\n")[2].splitlines()}
    assert shown["track it in git"] == "git add ../../data/corpora/mine.dvc ../../data/corpora/.gitignore"
    values = "--set data.text=review --set 'data.separator=\"|\"'"
    shares = "--set 'data.split={dev: 0.1}'"
    if task == "text_classification":
        values += " --set data.label=auto"  # unlike this pipeline's
        assert shown["check it"].endswith(f"tuneline check ../../data/corpora/mine {values}")
        assert (
            f"run --set data.dir=data/corpora/mine --set register.name=mine-{part.MODEL_SUFFIX} {values} {shares}"
            in (shown["train on it"])
        )
    else:
        options = f"--task regression --data ../../data/corpora/mine --name mine-regression {values} {shares}"
        assert shown["a pipeline for it"].endswith(f"tuneline new ../mine {options}")
        assert shown["train on it"].startswith("cd ../mine && ")


@pytest.mark.parametrize("has_class_folders", [True, False])
def test_folders_of_classes_are_fetched_where_the_task_has_some(tmp_path: Path, has_class_folders: bool) -> None:
    write(tmp_path / "source", {"train/good/1.txt": "a", "train/bad/2": "b", "test.csv": "text,label\n"})
    found = download("source", tmp_path / "copy", here=tmp_path, has_class_folders=has_class_folders)
    assert found.files == ["test.csv", *(["train/bad/2", "train/good/1.txt"] if has_class_folders else [])]
