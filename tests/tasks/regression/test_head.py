"""The loss is the mean squared error on standardised numbers; answers come back in the user's unit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from stages.encoding.files import Manifest
from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import text_schema, text_writer
from stages.encoding.tokenizer import load_tokenizer
from stages.tasks.regression.data.rows import targets_of
from stages.tasks.regression.model.head import NumberHead, fit_decision, read_split, score
from stages.tasks.regression.model.inference import decide
from stages.tasks.regression.params import RegressionParams

DETAILS = {"targets": ["x", "y"], "means": [3.0, -10.0], "deviations": [2.0, 0.5]}
MANIFEST = Manifest(4, "regression", ["x", "y"], DETAILS, "", {}, {}, {})


def params(primary: str) -> RegressionParams:
    return RegressionParams.model_validate(
        {"name": "regression", "pooling": "mean", "symmetric": False, "primary": primary, "unit": None}
    )


def test_the_loss_is_torchs_mean_squared_error() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_OC, target_OD = (torch.randn(8, 2, generator=generator) for _ in range(2))
    logits_OC.requires_grad_()
    loss = NumberHead().loss(logits_OC, (target_OD, torch.ones(8)))
    expected = 8 * functional.mse_loss(logits_OC, target_OD)
    torch.testing.assert_close(loss, expected)
    (gradient,), (expected_gradient,) = (torch.autograd.grad(each, logits_OC) for each in (loss, expected))
    torch.testing.assert_close(gradient, expected_gradient)
    assert NumberHead().loss(logits_OC, (target_OD, torch.zeros(8))) == 0


@pytest.fixture
def folder(tmp_path: Path, tiny_pretrained: Path) -> Path:
    numbers_ED = np.array([[1.0, -10.0], [5.0, -9.5], [3.0, -10.5]])
    block = TextEncoder(load_tokenizer(tiny_pretrained), length=16, overlap=2).encode(pa.array(["a b", "c", "d e f"]))
    with text_writer(tmp_path / "dev.arrow", text_schema("targets")) as writer:
        writer.write_batch(block.rows(answers=targets_of(numbers_ED)))
    return tmp_path


def test_targets_are_standardised_by_train_and_restored(folder: Path) -> None:
    split = read_split(folder, "dev", MANIFEST, params("pearson"))
    assert split.answers_R.tolist() == [[-1, 0], [1, 1], [0, -1]]
    assert fit_decision(np.zeros((3, 2)), split, MANIFEST, params("pearson")) == {
        "means": DETAILS["means"], "deviations": DETAILS["deviations"],
    }  # fmt: skip
    decision = {"means": [3.0, -10.0], "deviations": [2.0, 0.5]}
    found = decide(split.answers_R.astype(np.float64), split.texts, ["x", "y"], decision)
    assert found.predicted_ED.tolist() == found.gold_ED.tolist() == [[1, -10], [5, -9.5], [3, -10.5]]


@pytest.mark.parametrize(("primary", "best"), [("pearson", 1.0), ("r2", 1.0), ("rmse", 0.0), ("mae", 0.0)])
def test_a_better_prediction_has_a_higher_score_and_errors_are_negative(
    folder: Path, primary: str, best: float
) -> None:
    split, task = read_split(folder, "dev", MANIFEST, params(primary)), params(primary)
    right = split.answers_R.astype(np.float64)
    wrong = right + np.array([[0.5, 0.1], [0.0, 0.0], [0.4, 0.2]])
    scores = [score(outputs, split, MANIFEST, task) for outputs in (right, wrong)]
    assert scores[0] == pytest.approx(best, abs=1e-12)
    assert scores[1] < scores[0]
    assert (scores[1] < 0) == (primary in ("rmse", "mae"))
