"""Calibrated probabilities: a temperature that divides the logits (Guo et al., 2017), and how far scores are off.

Shape legend: E items (examples, or words), C classes.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
STEPS = 100  # Newton takes some 6; bisection alone would need 53 for all bits
PRECISION = 1e-12  # of the inverse temperature, relative
ROWS = 1 << 14  # items at a time, to limit memory
RELIABILITY_BINS = 10

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Logits = npt.NDArray[np.floating[Any]]
Slopes = Callable[[Floats, slice, float], tuple[Floats, Floats]]


def fit_softmax_temperature(logits_EC: Logits, gold_E: Numbers, weight_E: Floats | None = None) -> float:
    """The temperature with the least cross-entropy of softmax(logits / temperature); one gold class for each item.

    Between 0.05 and 20. It is 1 where no temperature is best: without an item, or if the gold class has the greatest
    logit of every item, so that a lower temperature would always fit better.
    """
    rows = np.arange(len(gold_E))
    best_E = logits_EC[rows, gold_E] >= logits_EC.max(1, initial=-np.inf)

    def slopes(chunk_EC: Floats, chosen: slice, inverse: float) -> tuple[Floats, Floats]:
        probability_EC = _softmax(chunk_EC * inverse)
        mean_E = (probability_EC * chunk_EC).sum(1)
        gold_logit_E = chunk_EC[np.arange(len(chunk_EC)), gold_E[chosen]]
        return mean_E - gold_logit_E, (probability_EC * (chunk_EC - mean_E[:, None]) ** 2).sum(1)

    return _fit(logits_EC, slopes, best_E, weight_E)


def fit_sigmoid_temperature(logits_EC: Logits, gold_EC: Truths, weight_E: Floats | None = None) -> float:
    """The temperature with the least binary cross-entropy of sigmoid(logits / temperature), summed over the classes.

    Bounds and the case without a best temperature (the logits of gold classes above 0, all others below) as for
    softmax.
    """
    best_E: Truths = np.all(np.where(gold_EC, logits_EC, -logits_EC) >= 0, axis=1)

    def slopes(chunk_EC: Floats, chosen: slice, inverse: float) -> tuple[Floats, Floats]:
        probability_EC = _sigmoid(chunk_EC * inverse)
        return (
            ((probability_EC - gold_EC[chosen]) * chunk_EC).sum(1),
            (probability_EC * (1 - probability_EC) * chunk_EC**2).sum(1),
        )

    return _fit(logits_EC, slopes, best_E, weight_E)


def softmax(logits_EC: Logits, temperature: float) -> npt.NDArray[np.float32]:
    """Calibrated probabilities of classes of which each item has one."""
    return _calibrate(logits_EC, temperature, _softmax)


def sigmoid(logits_EC: Logits, temperature: float) -> npt.NDArray[np.float32]:
    """Calibrated probabilities of classes of which each item may have several."""
    return _calibrate(logits_EC, temperature, _sigmoid)


def reliability(score_E: npt.NDArray[np.floating[Any]], correct_E: Truths) -> dict[str, Any]:
    """The share of correct items by their score, in ten bins, and the expected calibration error (Guo et al., 2017).

    `{"error", "bins": [{"low", "high", "score", "precision", "count"}]}`, without empty bins: the mean score and the
    share that is correct. The error is the mean distance of the two, weighted by the items of a bin; 0 without items.
    """
    bin_E = np.minimum((score_E * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    bins = []
    for number in np.unique(bin_E).tolist():
        own_E = bin_E == number
        bins.append(
            {
                "low": number / RELIABILITY_BINS,
                "high": (number + 1) / RELIABILITY_BINS,
                "score": float(score_E[own_E].mean()),
                "precision": float(correct_E[own_E].mean()),
                "count": int(own_E.sum()),
            }
        )
    error = sum(entry["count"] * abs(entry["score"] - entry["precision"]) for entry in bins)
    return {"error": error / len(score_E) if len(score_E) else 0.0, "bins": bins}


def _fit(logits_EC: Logits, slopes: Slopes, best_E: Truths, weight_E: Floats | None) -> float:
    """Find where the derivative of the loss by the inverse temperature is 0.

    `slopes` gives the first and the second derivative of each item's loss. The loss is convex in the inverse
    temperature, so there is one minimum; Newton's step is taken where it stays in the bracket, else its middle.
    """
    weight = np.ones(len(logits_EC)) if weight_E is None else np.asarray(weight_E, np.float64)
    if best_E[weight > 0].all():
        return 1.0

    def derivatives(inverse: float) -> tuple[float, float]:
        first = second = 0.0
        for chosen in _chunks(len(logits_EC)):
            first_E, second_E = slopes(logits_EC[chosen].astype(np.float64), chosen, inverse)
            first += float((weight[chosen] * first_E).sum())
            second += float((weight[chosen] * second_E).sum())
        return first, second

    low, high, inverse = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, 1.0
    if derivatives(low)[0] >= 0:
        return MAX_TEMPERATURE
    if derivatives(high)[0] <= 0:
        return MIN_TEMPERATURE
    for _ in range(STEPS):
        first, second = derivatives(inverse)
        low, high = (low, inverse) if first > 0 else (inverse, high)
        step = inverse - first / second if second > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) <= PRECISION * inverse:
            return 1 / following
        inverse = following
    return 1 / inverse


def _calibrate(
    logits_EC: Logits, temperature: float, probabilities: Callable[[Floats], Floats]
) -> npt.NDArray[np.float32]:
    probability_EC = np.empty(logits_EC.shape, np.float32)
    for chosen in _chunks(len(logits_EC)):
        probability_EC[chosen] = probabilities(logits_EC[chosen].astype(np.float64) / temperature)
    return probability_EC


def _chunks(items: int) -> Iterator[slice]:
    for start in range(0, items, ROWS):
        yield slice(start, min(start + ROWS, items))


def _softmax(logits_EC: Floats) -> Floats:
    raised_EC = np.exp(logits_EC - logits_EC.max(1, keepdims=True))
    probability_EC: Floats = raised_EC / raised_EC.sum(1, keepdims=True)
    return probability_EC


def _sigmoid(logits_EC: Floats) -> Floats:
    shrunk_EC = np.exp(-np.abs(logits_EC))  # never overflows
    probability_EC: Floats = np.where(logits_EC >= 0, 1, shrunk_EC) / (1 + shrunk_EC)
    return probability_EC
