"""How far probabilities can be trusted, before and after calibration, and what each threshold would give.

Shape legend: E examples, C labels, G thresholds.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.statistics.calibration import reliability
from stages.statistics.measure import divide
from stages.tasks.text_classification.scores.predictions import Predictions

Probabilities = npt.NDArray[np.float32]
GRID = np.arange(1, 50) / 50  # thresholds of the curves


def undo_calibration(probability_EC: Probabilities, temperature: float, *, multi_label: bool) -> Probabilities:
    """The probabilities that a temperature of 1 would give, from those that this one gave.

    Logits follow from probabilities but for a constant, which softmax does not see. Probabilities are kept as float32,
    in which those near 1 are rounded: what comes back is exact to 0.001 for temperatures above 0.4.
    """
    clipped_EC = np.clip(probability_EC.astype(np.float64), np.finfo(np.float32).tiny, 1.0)
    if multi_label:
        clipped_EC = np.minimum(clipped_EC, 1 - 2**-25)
        logits_EC = temperature * (np.log(clipped_EC) - np.log1p(-clipped_EC))
        return np.asarray(1 / (1 + np.exp(-logits_EC)), np.float32)
    logits_EC = temperature * np.log(clipped_EC)
    raised_EC = np.exp(logits_EC - logits_EC.max(1, keepdims=True, initial=-np.inf))
    return np.asarray(raised_EC / raised_EC.sum(1, keepdims=True), np.float32)


def compare_calibration(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """`reliability` with a temperature of 1, `before`, and with the one fitted on dev, `after`.

    With one label a text, an item is a text, and its score the probability of the predicted label. With several, an
    item is the question whether a text has a label, and its score the probability that it has.
    """
    multi_label = predictions.is_multi_label
    before_EC = undo_calibration(predictions.probability_EC, predictions.temperature, multi_label=multi_label)
    return {
        name: _find_reliability(probability_EC, predictions)
        for name, probability_EC in (("before", before_EC), ("after", predictions.probability_EC))
    }


def trace_thresholds(predictions: Predictions, label: str) -> list[dict[str, float]]:
    """Precision, recall and F1 of a label by its threshold; precision is absent where none is predicted."""
    column = predictions.labels.index(label)
    probability_E, gold_E = predictions.probability_EC[:, column], predictions.gold_EC[:, column]
    predicted_G, correct_G = _count_above(probability_E), _count_above(probability_E[gold_E])
    precision_G, recall_G = divide(correct_G, predicted_G), divide(correct_G, gold_E.sum())
    return [
        {"threshold": threshold, "recall": recall} | ({"precision": precision} if predicted else {})
        for threshold, precision, recall, predicted in zip(
            GRID.tolist(), precision_G.tolist(), recall_G.tolist(), predicted_G.tolist(), strict=True
        )
    ]


def _find_reliability(probability_EC: Probabilities, predictions: Predictions) -> dict[str, Any]:
    if predictions.is_multi_label:
        return reliability(probability_EC.reshape(-1), predictions.gold_EC.reshape(-1))
    correct_E = np.asarray((predictions.gold_EC & predictions.predicted_EC).any(1), np.bool_)
    return reliability(probability_EC.max(1, initial=0.0), correct_E)


def _count_above(probability_E: Probabilities) -> npt.NDArray[np.int64]:
    """How many probabilities reach each threshold, [G]."""
    return len(probability_E) - np.searchsorted(np.sort(probability_E.astype(np.float64)), GRID)
