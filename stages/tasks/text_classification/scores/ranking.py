"""Scores of the order of probabilities, for texts with several labels.

They are no function of totals, so examples are resampled. They are those of scikit-learn to the last digit.

Shape legend: E examples, M examples of a sample, C labels, T resamples.
"""

import numpy as np
import numpy.typing as npt

from stages.statistics.bootstrap import ranked_interval
from stages.statistics.measure import Counts, Floats, Numbers, Truths, count_kinds

Probabilities = npt.NDArray[np.float32]


def average_precisions(gold_EC: Truths, probability_EC: Probabilities) -> Floats:
    """The average precision of each label, [C]; 0 for a label that no example has."""
    once_1E = np.ones((1, len(gold_EC)), np.int64)
    return np.array(
        [
            _average_precision(gold_E, probability_E, once_1E)[0]
            for gold_E, probability_E in zip(gold_EC.T, probability_EC.T, strict=True)
        ]
    )


def mean_average_precision_interval(
    gold_EC: Truths, probability_EC: Probabilities, value: float
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of the labels' average precisions, `value`."""

    def means(chosen_M: Numbers, times_TM: Numbers) -> Floats:
        gold_MC, probability_MC = gold_EC[chosen_M], probability_EC[chosen_M]
        per_label = [
            _average_precision(gold_M, probability_M, times_TM)
            for gold_M, probability_M in zip(gold_MC.T, probability_MC.T, strict=True)
        ]
        mean_1T: Floats = np.mean(per_label, axis=0)[None]
        return mean_1T

    (low,), (high,) = ranked_interval(means, len(gold_EC), [value])
    return float(low), float(high)


def count_coverage(gold_EC: Truths, probability_EC: Probabilities) -> Counts:
    """For each example 1, and how many labels have the probability of its least probable gold label, or more.

    The mean of the second is the coverage error; it is 0 for an example without a label.
    """
    least_E = np.where(gold_EC, probability_EC, np.inf).min(1, initial=np.inf)
    covered_E = (probability_EC >= least_E[:, None]).sum(1)
    return count_kinds(np.stack([np.ones_like(covered_E), covered_E]))


def _average_precision(gold_M: Truths, probability_M: Probabilities, times_TM: Numbers) -> Floats:
    """The average precision of one label in samples that hold each example so many times, [T]."""
    if not gold_M.any():
        return np.zeros(len(times_TM))
    order = np.argsort(probability_M, kind="stable")[::-1]
    sorted_M, gold_M = probability_M[order], gold_M[order]
    ends = np.append(np.flatnonzero(np.diff(sorted_M)), len(sorted_M) - 1)  # of examples with one probability
    if len(times_TM) > 1:
        # Ends without a gold label since the one before add nothing, but they change how a single sum is rounded.
        ends = ends[np.diff(np.cumsum(gold_M)[ends], prepend=0) > 0]
    times_TM = times_TM[:, order]
    found = np.cumsum(times_TM, axis=1)[:, ends].astype(np.float64)
    right = np.cumsum(times_TM * gold_M, axis=1)[:, ends].astype(np.float64)
    precision = np.divide(right, found, out=np.zeros_like(found), where=found > 0)
    total = right[:, -1:]
    recall = np.divide(right, total, out=np.zeros_like(right), where=total > 0)
    areas = np.diff(recall, axis=1, prepend=0) * precision
    area_T: Floats = np.maximum(0.0, np.ascontiguousarray(areas[:, ::-1]).sum(1))
    return area_T
