"""What cannot be done is one message, with exit code 2."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from pipeline.checkout.new_pipeline import write_params_text
from stages.artifacts import read_json, write_json
from tests.checkouts import ROOT
from tests.suspects.conftest import CORPUS, Trained


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def spoil_corpus(_: Trained) -> None:
    (path,) = CORPUS.glob("train.*")
    edit(path, "battle B-sea", "ferry B-sea")


def shorten_corpus(trained: Trained) -> None:
    (path,) = CORPUS.glob("train.*")
    between = "\n\n" if trained.name == "tags" else "\n"
    path.write_text(
        between.join(path.read_text(encoding="utf-8").rstrip().split(between)[:-1]) + "\n", encoding="utf-8"
    )


def mark_training(_: Trained) -> None:
    path = Path("data/model/training.json")
    record = read_json(path)
    record["datasets"]["train"]["digest"] = "0"
    write_json(path, record)


def use_another_task(_: Trained) -> None:
    with chdir(ROOT):
        text = write_params_text("text_classification")
    Path("params.yaml").write_text(text, encoding="utf-8")


def nothing(_: Trained) -> None:
    """All is as it should be."""


FAULTS: dict[str, tuple[Callable[[Trained], None], tuple[str, ...], str]] = {
    "no model": (lambda _: shutil.rmtree("data/model"), (), "data/model/training.json: no such file"),
    "an older model": (
        lambda _: Path("data/model/dynamics.arrow").unlink(), (), "was trained before this was recorded",
    ),
    "another encoding": (mark_training, (), "data/encoded is not what the model was trained on"),
    "another text": (spoil_corpus, ("--limit", "0"), "it was changed since. Train on it"),
    "a text less": (shorten_corpus, (), "has 59 examples in train, the model saw 60"),
    "no corpus": (lambda _: shutil.rmtree(CORPUS), (), "data/corpora/kind"),
    "faulty parameters": (
        lambda _: edit(Path("params.yaml"), "  format: auto", "  format: csw"), (), "data.format",
    ),
    "another task": (use_another_task, (), "is for text_classification, the model for token_classification"),
    "no report": (lambda _: shutil.rmtree("data/report"), ("--split", "dev"), "predictions.parquet: no such file"),
    "another split": (nothing, ("--split", "valid"), "--split valid: no such split; there are train, dev, test"),
    "another tool": (nothing, ("--export", "brat", "x.json"), "--export brat: no such tool; there are doccano"),
}  # fmt: skip


@pytest.fixture
def restored(trained: Trained, tmp_path: Path) -> Iterator[Trained]:
    """The pipeline, whose data and parameters are put back afterwards."""
    shutil.copytree("data", tmp_path / "data")
    params = Path("params.yaml").read_bytes()
    yield trained
    shutil.rmtree("data")
    shutil.copytree(tmp_path / "data", "data")
    Path("params.yaml").write_bytes(params)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("trained", ["tags"], indirect=True)
def test_what_is_wrong_is_said_once(restored: Trained, fault: str) -> None:
    spoil, words, message = FAULTS[fault]
    spoil(restored)
    said = restored.call(*words, code=2)
    assert said.count("error:") == 1
    assert message in said
    assert not Path("x.json").exists()


@pytest.mark.parametrize("trained", ["several numbers"], indirect=True)
def test_doccano_has_no_numbers(trained: Trained, tmp_path: Path) -> None:
    said = trained.call("--export", "doccano", str(tmp_path / "x.jsonl"), code=2)
    assert "doccano has no numbers of texts. Label Studio has: --export labelstudio FILE" in said
    assert not (tmp_path / "x.jsonl").exists()
