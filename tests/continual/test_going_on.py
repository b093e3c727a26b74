"""A model of each task that goes on from an older one: with old examples, near its answers, scored on old tests."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages import evaluate, tokenize, train
from stages.artifacts import file_digest, folder_digest, read_json
from stages.continual.parent import describe_labels, find_parent
from stages.encoding.files import read_manifest
from stages.errors import CorpusError, ParamsError
from stages.fitting import fit
from tests.continual.conftest import Run, quiet


def test_old_examples_and_the_parents_answers_change_a_model_in_the_same_way_each_time(
    run: Run, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tokenize, train)
    alone = run.weights
    run(tokenize, train, train__replay__corpus=parent / "corpus", train__replay__share=0.25)
    replayed = run.weights
    counts = read_manifest(Path("data/encoded")).counts
    assert counts["replay"]["windows"] == counts["train"]["windows"] * 3
    run(train, train__retain=2.0)
    undisturbed = folder_digest(Path("data/model"))
    assert len({alone, replayed, run.weights}) == 3
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(InterruptedError):
            run(train)
    assert list(Path(".checkpoints").glob("*/step-*"))
    run(train)
    assert folder_digest(Path("data/model")) == undisturbed


def stop_after(steps: int, patch: pytest.MonkeyPatch) -> None:
    """Let a training run end after so many steps, with a checkpoint after each."""
    record_step, clock = fit.record_step, itertools.count(step=1000)

    def record_and_stop(*arguments: Any) -> None:
        record_step(*arguments)
        if arguments[0].step > steps and list(Path(".checkpoints").glob("*/step-*")):
            raise InterruptedError

    patch.setattr(fit, "record_step", record_and_stop)
    patch.setattr(fit, "time", SimpleNamespace(monotonic=lambda: next(clock), perf_counter=lambda: next(clock)))


def test_forgetting_is_what_the_parent_scored_less_the_score_of_the_model(run: Run, parent: Path) -> None:
    with quiet(parent):
        run(evaluate)
        before = run.metrics()["test"]["primary"]["value"]
    old = parent / "corpus"
    replay = {"train__replay__corpus": old, "train__replay__share": 0.25}
    run(tokenize, train, evaluate, evaluate__also=[str(old)], train__retain=1.0, **replay)
    metrics = run.metrics()
    found = metrics["also"]["corpus"]
    forgetting = found["forgetting"]
    assert forgetting["before"] == pytest.approx(before, abs=1e-6)
    assert forgetting["after"] == pytest.approx(metrics["test"]["primary"]["value"], abs=1e-6)  # the same test split
    assert forgetting["value"] == pytest.approx(forgetting["before"] - forgetting["after"])
    assert forgetting["low"] <= forgetting["value"] <= forgetting["high"]
    report = Path("data/report/report.html").read_text(encoding="utf-8")
    for words in ("Older corpus corpus", f"25% of an epoch, of {old}", "by a weight of 1"):
        assert words in report
    encoded = folder_digest(Path("data/encoded"))
    run(tokenize, evaluate__also="[]")
    assert folder_digest(Path("data/encoded")) == encoded  # so that another test set trains no model again
    assert read_json(Path("data/also/corpora.json"))["corpora"] == []


def test_older_corpora_are_refused_that_are_missing_undeclared_or_of_other_labels(
    run: Run, parent: Path, task: str, tmp_path: Path
) -> None:
    replay = {"train__replay__share": 0.2}
    with pytest.raises(ParamsError, match="nowhere: no such file or folder"):
        run(tokenize, train__replay__corpus="nowhere", **replay)
    Path("dvc.yaml").write_text("stages: {tokenize: {deps: ['${data.dir}']}}")
    with pytest.raises(ParamsError, match=r"corpus: dvc.yaml does not declare it; `tuneline status` does"):
        run(tokenize, train__replay__corpus=parent / "corpus", **replay)
    Path("dvc.yaml").unlink()
    (file,) = (parent / "corpus").glob("train.*")
    for split in ("train", "dev"):
        target = tmp_path / "half" / f"{split}{file.suffix}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    with pytest.raises(CorpusError, match=r"half has splits, but none is test, which evaluate\.also scores"):
        run(tokenize, evaluate__also=[str(tmp_path / "half")], train__replay__corpus="null", train__replay__share=0)
    run(evaluate__also="[]")
    if task == "regression":
        return  # numbers have no labels
    other = tmp_path / "other"
    other.mkdir()
    for file in (parent / "corpus").iterdir():
        text = file.read_text(encoding="utf-8")
        for sign, label in itertools.product("-,", ("food", "travel", "rooms", "bad", "fair", "good")):
            text = text.replace(f"{sign}{label}", f"{sign}no-{label}")
        (other / file.name).write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"other: none of its labels \(.+\) is a label of data.dir or of the model"):
        run(tokenize, train__replay__corpus=other, **replay)


def test_labels_of_all_corpora_and_of_the_parent_are_kept(run: Run, parent: Path, task: str) -> None:
    known = find_parent(parent / "data/model", task)
    assert known is not None
    (file,) = Path("corpus").glob("train.*")
    text = file.read_text(encoding="utf-8").replace("B-food", "B-drinks").replace(",good,", ",great,")
    file.write_text(text, encoding="utf-8")
    run(tokenize, train__replay__corpus=parent / "corpus", train__replay__share=0.2)
    manifest = read_manifest(Path("data/encoded"))
    assert set(known.labels) <= set(manifest.labels)
    new = {"token_classification": {"B-drinks", "I-drinks"}, "text_classification": {"great"}}
    assert set(manifest.labels) - set(known.labels) == new.get(task, set())
    if task == "regression":
        assert [manifest.details[key] for key in ("means", "deviations")] == [
            known.record.decision[key] for key in ("means", "deviations")
        ]


def test_the_log_says_which_labels_are_new_kept_and_gone(parent: Path, task: str) -> None:
    known = find_parent(parent / "data/model", task)
    assert known is not None
    first, *others = known.labels
    assert describe_labels(known.labels, known.labels, known) == ["the labels are those of the parent"]
    assert describe_labels([*known.labels, "x"], [*others, "x"], known) == [
        "labels that are new: x",
        f"labels that are kept from the parent, without an example: {first}",
    ]
    assert describe_labels(others or ["x"], others or ["x"], known)[-1] == (
        f"labels that are gone, with what the parent knew of them: {first}"
    )
    assert describe_labels(["x"], ["x"], None) == []


def test_a_model_of_another_task_is_a_bare_encoder(parent: Path, tiny_pretrained: Path) -> None:
    assert find_parent(parent / "data/model", "another") is None
    assert find_parent(tiny_pretrained, "regression") is None


def test_retaining_needs_a_parent(run: Run, tiny_pretrained: Path) -> None:
    sha256 = file_digest(tiny_pretrained / "model.safetensors")
    with pytest.raises(
        ParamsError, match=r"train.retain is set, but model.pretrained \(.+\) holds no model of the task"
    ):
        run(tokenize, train, model__pretrained=tiny_pretrained, model__sha256=f'"{sha256}"', train__retain=1.0)
