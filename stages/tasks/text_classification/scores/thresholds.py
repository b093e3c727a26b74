"""Which labels a text gets: the most probable one, or all whose probability reaches a threshold chosen on dev.

Shape legend: E examples, C labels.
"""

import numpy as np
import numpy.typing as npt

from stages.statistics.measure import Floats, Truths, divide

DEFAULT = 0.5
Probabilities = npt.NDArray[np.floating]


def predict_one(probability_EC: Probabilities) -> Truths:
    """The most probable label of each text, the first of equally probable ones."""
    predicted_EC = np.zeros(probability_EC.shape, dtype=bool)
    predicted_EC[np.arange(len(probability_EC)), probability_EC.argmax(1)] = True
    return predicted_EC


def predict_several(probability_EC: Probabilities, thresholds: tuple[float, ...]) -> Truths:
    """The labels of each text whose probability is at least their threshold."""
    predicted_EC: Truths = probability_EC.astype(np.float64) >= np.array(thresholds, np.float64)
    return predicted_EC


def choose_thresholds(probability_EC: Probabilities, gold_EC: Truths, *, per_label: bool) -> tuple[float, ...]:
    """The thresholds with the best F1, one for each label: of that label, or the same for all by micro F1.

    Of equally good ones it is the one nearest 0.5, then the lower. Between two probabilities that occur, thresholds
    make no difference: their middle stands for them, or 0.5 where it is among them.
    """
    if per_label:
        return tuple(_choose(probability_EC[:, label], gold_EC[:, label]) for label in range(gold_EC.shape[1]))
    shared = _choose(probability_EC.reshape(-1), gold_EC.reshape(-1))
    return (shared,) * int(gold_EC.shape[1])


def _choose(probability_E: Probabilities, gold_E: Truths) -> float:
    if not gold_E.any():
        return DEFAULT
    order = np.argsort(-probability_E, kind="stable")
    sorted_E = probability_E[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(sorted_E)), len(sorted_E) - 1)
    correct = np.cumsum(gold_E[order])[ends]
    f1: Floats = divide(2 * correct, ends + 1 + gold_E.sum())
    upper = sorted_E[ends]
    lower = np.append(upper[1:], 0.0)
    threshold = np.where((lower < DEFAULT) & (upper >= DEFAULT), DEFAULT, (lower + upper) / 2)
    best = threshold[f1 == f1.max()]
    return float(best[np.lexsort((best, abs(best - DEFAULT)))[0]])
