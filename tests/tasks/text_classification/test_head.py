"""The losses are torch's, weighted by rows; what is fitted on dev."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from stages.encoding.files import Manifest
from stages.encoding.texts import EncodedTexts
from stages.modeling.text_split import TextSplit
from stages.tasks.text_classification.model.head import (
    MultiLabelHead,
    SingleLabelHead,
    fit_decision,
    make_head,
    mark_labels,
    score,
)
from stages.tasks.text_classification.params import ClassificationParams
from tests.modeling.conftest import COMPUTE

LABELS = ["a", "b", "c"]
MODEL: Any = None  # its losses need no model


def params(**changes: Any) -> ClassificationParams:
    values = {
        "name": "text_classification", "multi_label": False, "class_weights": "none", "pooling": "mean",
        "symmetric": False, "thresholds": "per_label", "primary": "accuracy",
    }  # fmt: skip
    return ClassificationParams.model_validate(values | changes)


def manifest(counts: dict[str, int]) -> Manifest:
    return Manifest(4, "text_classification", LABELS, {"label_counts": counts}, "", {}, {}, {})


def texts(answers: list[list[int]]) -> EncodedTexts:
    count = len(answers)
    return EncodedTexts(
        offsets=np.arange(count + 1, dtype=np.int32),
        input_ids=np.zeros(count, np.int32),
        second=np.full(count, -1, np.int32),
        example=np.arange(count, dtype=np.int32),
        window=np.zeros(count, np.int32),
        weight=np.ones(count, np.float32),
        texts=pa.chunked_array([["x"] * count]),
        pairs=None,
        slices={},
        answers=pa.array(answers, pa.list_(pa.int32())),
    )


def gradient_of(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    (gradient,) = torch.autograd.grad(loss, logits)
    return gradient


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_loss_of_one_label_is_torchs_cross_entropy(smoothing: float, *, balanced: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits_OC = torch.randn(8, 3, generator=generator, requires_grad=True)
    label_O = torch.tensor([0, 1, 2, 0, 0, 1, 2, 2])
    task = params(class_weights="balanced" if balanced else "none")
    counts = {"a": 10, "b": 20, "c": 30}
    head = make_head(MODEL, task, manifest(counts), COMPUTE["fp32"], label_smoothing=smoothing)
    assert isinstance(head, SingleLabelHead)
    weight_C = torch.tensor([60 / (3 * count) for count in counts.values()]) if balanced else None
    loss = head.loss(logits_OC, (label_O, torch.ones(8)))
    expected = functional.cross_entropy(logits_OC, label_O, weight=weight_C, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient_of(loss, logits_OC), gradient_of(expected, logits_OC))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_several_labels_is_torchs_binary_cross_entropy(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits_OC = torch.randn(8, 3, generator=generator, requires_grad=True)
    target_OC = (torch.rand(8, 3, generator=generator) > 0.5).float()
    head = make_head(
        MODEL, params(multi_label=True, primary="macro_f1"), manifest({}), COMPUTE["fp32"], label_smoothing=smoothing
    )
    assert isinstance(head, MultiLabelHead)
    loss = head.loss(logits_OC, (target_OC, torch.ones(8)))
    expected = 8 * functional.binary_cross_entropy_with_logits(logits_OC, target_OC * (1 - smoothing) + smoothing / 2)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient_of(loss, logits_OC), gradient_of(expected, logits_OC))


@pytest.mark.parametrize("head", [SingleLabelHead(0.0, None), MultiLabelHead(0.0)])
def test_rows_count_by_their_weight_and_padding_for_nothing(head: Any) -> None:
    logits_OC = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]])
    answers = torch.tensor([2, 0]) if isinstance(head, SingleLabelHead) else torch.tensor([[0.0, 0, 1], [1, 1, 0]])
    alone = [head.loss(logits_OC[[row]], (answers[[row]], torch.ones(1))) for row in range(2)]
    weighted = head.loss(logits_OC, (answers, torch.tensor([0.25, 0.0])))
    torch.testing.assert_close(weighted, 0.25 * alone[0])


def test_balanced_weights_have_a_mean_of_one_over_the_texts_of_train() -> None:
    counts = {"a": 1, "b": 7, "c": 92}
    head = make_head(MODEL, params(class_weights="balanced"), manifest(counts), COMPUTE["fp32"], label_smoothing=0.0)
    assert isinstance(head, SingleLabelHead)
    assert head.class_weight_C is not None
    assert float((head.class_weight_C * torch.tensor([1.0, 7.0, 92.0])).sum() / 100) == pytest.approx(1)


def test_dev_is_scored_by_the_primary_score() -> None:
    split = TextSplit(texts([[0], [1], [2], [2]]), "mean", np.zeros(4, np.int64))
    logits_EC = np.array([[3.0, 0, 0], [3.0, 0, 0], [0, 0, 3.0], [0, 0, 3.0]])
    assert score(logits_EC, split, manifest({}), params()) == 0.75
    macro = score(logits_EC, split, manifest({}), params(primary="macro_f1"))
    assert macro == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_one_label_gets_a_temperature_and_several_get_thresholds_too() -> None:
    generator = np.random.default_rng(0)
    gold_E = generator.integers(0, 3, 400)
    logits_EC = generator.normal(size=(400, 3)) + 2 * np.eye(3)[gold_E]
    single = TextSplit(texts([[label] for label in gold_E.tolist()]), "mean", gold_E)
    decision = fit_decision(5 * logits_EC, single, manifest({}), params())
    assert decision["thresholds"] is None
    assert decision["temperature"] == pytest.approx(
        5 * fit_decision(logits_EC, single, manifest({}), params())["temperature"]
    )
    several = params(multi_label=True, primary="macro_f1")
    decision = fit_decision(logits_EC, single, manifest({}), several)
    assert len(decision["thresholds"]) == 3
    shared = fit_decision(logits_EC, single, manifest({}), several.model_copy(update={"thresholds": "shared"}))
    assert len(set(shared["thresholds"])) == 1


def test_labels_are_marked_for_each_text() -> None:
    assert mark_labels(texts([[0], [], [1, 2]]), 3).tolist() == [[True, False, False], [False] * 3, [False, True, True]]
