"""The scores of predicted numbers, each with its 95 % interval, and the primary one that the gate compares.

They equal those of SciPy and scikit-learn to the last digit. Where SciPy has nan, for a correlation with a constant or
of fewer than two examples, the score is 0: a model that always says the same has found nothing. R² of a constant target
is 1 if the predictions are exact, else 0, as scikit-learn has it. The score of several targets is the mean of theirs.

Shape legend: E examples, D targets, M examples of a sample, K counts, T totals (resamples or trials).
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from stages.statistics.bootstrap import percentiles, ranked_interval, resample
from stages.statistics.measure import Counts, Floats, Measure, Numbers, divide
from stages.tasks.regression.scores.predictions import Predictions

Scores = dict[str, Any]
PRIMARIES = ("pearson", "rmse", "mae", "r2")
ERRORS = ("rmse", "mae")
COUNTS = 6  # of a target: gold, its square, predicted, its square, their product, absolute difference
ROUNDING = 1e-12  # of a variance in units of the target's, below which numbers count as constant


def scores(predictions: Predictions) -> Scores:
    """`{"overall", "per_target": {name: …}}`: pearson, spearman, rmse, mae, r2, each X with `X_low` and `X_high`.

    Each row has its `support`, the number of examples.
    """
    gold_ED, predicted_ED = predictions.gold_ED, predictions.predicted_ED
    values = _score_targets(gold_ED, predicted_ED)
    counts, spread_D = _count(gold_ED, predicted_ED)
    totals_KT = resample(counts)
    support = {"support": len(gold_ED)}
    overall: Scores = {}
    per_target: dict[str, Scores] = {name: {} for name in predictions.targets}
    for name, value_D in values.items():
        mean = float(np.average(value_D))
        if name == "spearman":
            low_X, high_X = _spearman_intervals(gold_ED, predicted_ED, np.append(value_D, mean))
        else:
            value_DT = _of_totals(name, totals_KT, spread_D)
            low_X, high_X = percentiles(np.vstack([value_DT, value_DT.mean(0)]))
        rows = [*per_target.values(), overall]
        for row, value, low, high in zip(rows, [*value_D.tolist(), mean], low_X, high_X, strict=True):
            row |= {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
    return {
        "overall": overall | support,
        "per_target": {name: row | support for name, row in per_target.items()},
    }


def primary(predictions: Predictions, name: str) -> Scores:
    """The score by which models are chosen: `{"name", "value", "low", "high", "support"}`; support counts examples."""
    measure = primary_measure(predictions, name)
    low, high = percentiles(measure.score(resample(measure.counts)))
    value = float(np.average(_score_targets(predictions.gold_ED, predictions.predicted_ED)[name]))
    return {"name": name, "value": value, "low": float(low), "high": float(high), "support": measure.support}


def primary_measure(predictions: Predictions, name: str) -> Measure:
    """The primary score over all targets; KeyError if no score that follows from sums has that name."""
    if name not in PRIMARIES:
        raise KeyError(name)
    counts, spread_D = _count(predictions.gold_ED, predictions.predicted_ED)
    return Measure(
        counts,
        lambda totals_KT: _of_totals(name, totals_KT, spread_D).mean(0),
        predictions.gold_ED,
        is_error=name in ERRORS,
    )


def _score_targets(gold_ED: Floats, predicted_ED: Floats) -> dict[str, Floats]:
    """The scores of each target, [D], in the order of operations of SciPy and scikit-learn."""
    from scipy import stats  # takes most of a second to import, and the gate does not need it

    if not len(gold_ED):
        return {name: np.zeros(gold_ED.shape[1]) for name in ("pearson", "spearman", "rmse", "mae", "r2")}
    # A target is one dimension here, since NumPy sums a column of a table in another order.
    rows = [
        (np.ascontiguousarray(gold_E), np.ascontiguousarray(predicted_E))
        for gold_E, predicted_E in zip(gold_ED.T, predicted_ED.T, strict=True)
    ]
    square_D = np.array([np.sum((gold_E - predicted_E) ** 2) for gold_E, predicted_E in rows])
    variance_D = np.array([np.sum((gold_E - np.average(gold_E)) ** 2) for gold_E, _ in rows])
    return {
        "pearson": _correlate(gold_ED, predicted_ED, stats.pearsonr),
        "spearman": _correlate(gold_ED, predicted_ED, stats.spearmanr),
        "rmse": np.array([np.sqrt(np.average((gold_E - predicted_E) ** 2)) for gold_E, predicted_E in rows]),
        "mae": np.array([np.average(np.abs(gold_E - predicted_E)) for gold_E, predicted_E in rows]),
        "r2": np.where(variance_D != 0, 1 - divide(square_D, variance_D), (square_D == 0).astype(np.float64)),
    }


def _correlate(gold_ED: Floats, predicted_ED: Floats, correlation: Callable[..., Any]) -> Floats:
    if len(gold_ED) < 2:
        return np.zeros(gold_ED.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants, whose correlation is nan
        found = [
            correlation(gold_ED[:, target], predicted_ED[:, target]).statistic for target in range(gold_ED.shape[1])
        ]
    return np.nan_to_num(np.array(found, np.float64), nan=0.0)


def _count(gold_ED: Floats, predicted_ED: Floats) -> tuple[Counts, Floats]:
    """Sums of each example, and the deviation of each target in gold, [D]: the unit in which they are counted.

    Numbers are counted from the mean of gold, since a variance from sums loses digits far from 0.
    """
    examples, targets = gold_ED.shape
    if not examples:
        return Counts(np.zeros((1 + COUNTS * targets, 0)), None), np.ones(targets)
    mean_D, spread_D = gold_ED.mean(0), gold_ED.std(0)
    spread_D = np.where(spread_D > 0, spread_D, 1.0)
    gold_DE, predicted_DE = ((numbers_ED - mean_D).T / spread_D[:, None] for numbers_ED in (gold_ED, predicted_ED))
    rows = [gold_DE, gold_DE**2, predicted_DE, predicted_DE**2, gold_DE * predicted_DE, abs(gold_DE - predicted_DE)]
    return Counts(np.vstack([np.ones((1, examples)), *rows]), None), spread_D


def _of_totals(name: str, totals_KT: Floats, spread_D: Floats) -> Floats:
    """The score of each target, [D, T]."""
    examples, rest = totals_KT[0], totals_KT[1:].reshape(COUNTS, len(spread_D), -1)
    gold, gold_square, predicted, predicted_square, product, absolute = (divide(row, examples) for row in rest)
    square = np.maximum(0.0, gold_square - 2 * product + predicted_square)
    variance = np.maximum(0.0, gold_square - gold**2)
    if name == "mae":
        return absolute * spread_D[:, None]
    if name == "rmse":
        rmse: Floats = np.sqrt(square) * spread_D[:, None]
        return rmse
    if name == "r2":
        constant = (square < ROUNDING).astype(np.float64)
        r2: Floats = np.where(variance > ROUNDING, 1 - divide(square, variance), constant)
        return r2
    of_predicted = np.maximum(0.0, predicted_square - predicted**2)
    varies = (variance > ROUNDING) & (of_predicted > ROUNDING * np.maximum(predicted_square, ROUNDING))
    pearson: Floats = np.where(varies, divide(product - gold * predicted, np.sqrt(variance * of_predicted)), 0.0)
    return np.clip(pearson, -1, 1)


def _spearman_intervals(gold_ED: Floats, predicted_ED: Floats, value_X: Floats) -> tuple[Floats, Floats]:
    """The intervals of each target's rank correlation, and of their mean."""

    def values(chosen_M: Numbers, times_TM: Numbers) -> Floats:
        found_DT = [
            _weighted_spearman(gold_ED[chosen_M, target], predicted_ED[chosen_M, target], times_TM)
            for target in range(gold_ED.shape[1])
        ]
        return np.vstack([*found_DT, np.mean(found_DT, axis=0)])

    return ranked_interval(values, len(gold_ED), value_X)


def _weighted_spearman(gold_M: Floats, predicted_M: Floats, times_TM: Numbers) -> Floats:
    """The rank correlation of samples that hold each example so many times, [T]."""
    first_TM, second_TM = _rank(gold_M, times_TM), _rank(predicted_M, times_TM)
    count_T1 = times_TM.sum(1, keepdims=True)
    first_TM, second_TM = (rank_TM - (count_T1 + 1) / 2 for rank_TM in (first_TM, second_TM))
    product, one, other = (
        np.einsum("tm,tm,tm->t", times_TM, left, right)
        for left, right in ((first_TM, second_TM), (first_TM, first_TM), (second_TM, second_TM))
    )
    return divide(product, np.sqrt(one * other))


def _rank(numbers_M: Floats, times_TM: Numbers) -> Floats:
    """The mean rank of each example among those of its sample, [T, M]."""
    _, group_M = np.unique(numbers_M, return_inverse=True)
    order = np.argsort(group_M, kind="stable")
    starts = np.flatnonzero(np.diff(group_M[order], prepend=-1))
    size_TG = np.add.reduceat(times_TM[:, order], starts, axis=1)
    ranks: Floats = (np.cumsum(size_TG, axis=1) - (size_TG - 1) / 2)[:, group_M]
    return ranks
