"""Which weights an epoch keeps: the last, or their mean over the steps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.fitting import fit
from stages.training.checkpoints import Progress
from stages.training.distributed import SINGLE_PROCESS
from stages.training.history import History, Step
from tests.modeling.conftest import COMPUTE, random_model, random_split
from tests.training.weights import make_weights

STEP = Step(
    step=4, steps=4, epoch=1, ends_epoch=True, loss=0.5, gradient_norm=1.0, learning_rate=0.1, tokens=9, weight=9
)


def run_with(scores: list[float], *, average_weights: bool) -> Any:
    """A training run whose masters are 1 and their mean 2, and whose dev scores are these, one after another."""
    weights = make_weights(random_model(), random_split([5]), COMPUTE["fp32"], average_weights=average_weights)
    for values, number in ((weights.masters, 1.0), (weights.averages, 2.0)):
        for value in values:
            value.fill_(number)
    weights.step_count.fill_(4)
    task = SimpleNamespace(
        predict=lambda *_, **__: None, score=lambda *_: scores.pop(0), describe_score=lambda score, _: ("F1", score)
    )
    return SimpleNamespace(
        world=SINGLE_PROCESS, weights=weights, task=task, splits={"dev": None}, params=SimpleNamespace(task=None),
        model=None, compute=None, manifest=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "average_weights", "kept", "score"),
    [
        ([0.5, 0.6], True, 2.0, 0.6),
        ([0.6, 0.5], True, 1.0, 0.6),
        ([0.5, 0.5], True, 1.0, 0.5),
        ([0.5], False, 1.0, 0.5),
    ],
)
def test_an_epoch_keeps_the_weights_that_score_better_on_dev(
    tmp_path: Path, scores: list[float], average_weights: bool, kept: float, score: float
) -> None:
    run, progress = run_with(scores, average_weights=average_weights), Progress(History(tmp_path / "history.jsonl"))
    fit.record_step(SimpleNamespace(read=lambda: STEP, epochs=1), run, progress)  # type: ignore[arg-type]
    assert progress.history.dev_score == [score]
    assert {value.item() for master in progress.best_masters for value in master.unique()} == {kept}
    assert all((master == 1).all() for master in run.weights.masters)
    assert scores == []
