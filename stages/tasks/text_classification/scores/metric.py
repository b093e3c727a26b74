"""The scores of classified texts, each with its 95 % interval, and the primary one that the gate compares.

They equal those of scikit-learn to the last digit; a score without a denominator is 0.

Shape legend: E examples, C labels, K counts, T resamples.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stages.statistics.bootstrap import interval, percentiles, resample
from stages.statistics.measure import Floats, Measure, Numbers, divide
from stages.tasks.text_classification.scores import counts as of_counts
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.ranking import (
    average_precisions,
    count_coverage,
    mean_average_precision_interval,
)

Scores = dict[str, Any]
RATIOS = ("precision", "recall", "f1")


def scores(predictions: Predictions) -> Scores:
    """`{"overall", "micro", "macro", "weighted", "per_label": {label: …}}`, and `samples` if a text may have several.

    Beside each score X are `X_low` and `X_high`. A row of averages or of a label has `precision`, `recall`, `f1`;
    `overall` has `accuracy` and `matthews`, or `exact_match`, `hamming_loss`, `mean_average_precision` and
    `coverage_error`.
    With one label a text, labels that occur neither in gold nor in the predictions have no row.
    """
    multi_label = predictions.is_multi_label
    labels = sorted(predictions.labels)
    counts = primary_measure(predictions, "micro_f1").counts
    totals_KT = np.hstack([counts.totals_K[:, None], resample(counts)])  # the first column is no resample

    def rows(ratios: Callable[[Floats], tuple[Floats, ...]], names: Sequence[str] = RATIOS) -> list[Scores]:
        """A row for each label, or one of averages."""
        # The first column alone has the order of summation of scikit-learn.
        values = [np.atleast_2d(ratio) for ratio in ratios(totals_KT[:, :1])]
        ends = [percentiles(np.atleast_2d(ratio)) for ratio in ratios(totals_KT[:, 1:])]
        return [
            {
                key: float(value)
                for name, value_X1, (low_X, high_X) in zip(names, values, ends, strict=True)
                for key, value in (
                    (name, value_X1[row, 0]),
                    (f"{name}_low", low_X[row]),
                    (f"{name}_high", high_X[row]),
                )
            }
            for row in range(len(values[0]))
        ]

    def of_labels(ratios: Callable[..., tuple[Floats, ...]], **options: bool) -> Callable[[Floats], tuple[Floats, ...]]:
        return lambda totals: ratios(of_counts.split_counts(totals, multi_label=multi_label)[0], **options)

    gold_C = of_counts.split_counts(totals_KT[:, :1], multi_label=multi_label)[0][1:, :, 0].astype(np.int64)
    occurs_C = gold_C.sum(0) > 0
    support = {"support": int(gold_C[1].sum())}
    table = {
        "overall": {},
        "micro": rows(of_labels(of_counts.micro_ratios))[0] | support,
        "macro": rows(of_labels(of_counts.macro_ratios, multi_label=multi_label))[0] | support,
        "weighted": rows(of_labels(of_counts.weighted_ratios, multi_label=multi_label))[0] | support,
        "per_label": {
            label: row | {"support": int(gold_C[1, index])}
            for index, (label, row) in enumerate(zip(labels, rows(of_labels(of_counts.label_ratios)), strict=True))
            if multi_label or occurs_C[index]
        },
    }
    if multi_label:
        overall = rows(
            lambda totals: (of_counts.exact_match(totals), of_counts.hamming_loss(totals)),
            ["exact_match", "hamming_loss"],
        )
        samples = rows(of_counts.samples_ratios)[0] | _average_samples(predictions)
        table["samples"] = samples | {"support": counts.examples}
        table["overall"] = overall[0] | _score_ranking(predictions)
    else:
        one_label = rows(
            of_labels(lambda totals: (of_counts.accuracy(totals), of_counts.matthews(totals))), ["accuracy", "matthews"]
        )
        table["overall"] = one_label[0]
    table["overall"]["support"] = counts.examples
    return table


def primary(predictions: Predictions, name: str) -> Scores:
    """The score by which models are chosen: `{"name", "value", "low", "high", "support"}`; support counts examples."""
    measure = primary_measure(predictions, name)
    low, high = interval(measure)
    return {"name": name, "value": measure.value, "low": low, "high": high, "support": measure.support}


def primary_measure(predictions: Predictions, name: str, labels: Sequence[str] | None = None) -> Measure:
    """The primary score over all labels, or over some that the predictions have.

    With one label a text, examples whose gold label is not among them are left out, and another predicted label is
    wrong. With several, the other labels are left out of each set. KeyError if no score has that name.
    """
    multi_label = predictions.is_multi_label
    score = of_counts.primary_score(name, multi_label=multi_label)
    chosen = [
        predictions.labels.index(label) for label in sorted(predictions.labels if labels is None else set(labels))
    ]
    gold_EC = predictions.gold_EC[:, chosen]
    if multi_label:
        return Measure(of_counts.count_label_sets(gold_EC, predictions.predicted_EC[:, chosen]), score, gold_EC)
    kept_E = gold_EC.any(1)
    gold_E = gold_EC[kept_E].argmax(1) if chosen else np.zeros(0, np.int64)
    new_C = np.full(len(predictions.labels), len(chosen))
    new_C[chosen] = np.arange(len(chosen))
    predicted_E = new_C[predictions.predicted_EC[kept_E].argmax(1)] if chosen else gold_E
    return Measure(of_counts.count_confusion(gold_E, predicted_E, len(chosen)), score, gold_E)


def confusion(predictions: Predictions) -> Numbers:
    """How often each gold label (row) was predicted as each label (column), of texts with one; [C, C]."""
    classes = len(predictions.labels)
    cell_E = predictions.gold_EC.argmax(1) * classes + predictions.predicted_EC.argmax(1)
    return np.bincount(cell_E, minlength=classes * classes).reshape(classes, classes)


def _average_samples(predictions: Predictions) -> Scores:
    """The means over texts, summed in scikit-learn's order."""
    gold_EC, predicted_EC = predictions.gold_EC, predictions.predicted_EC
    correct_E, predicted_E, gold_E = (gold_EC & predicted_EC).sum(1), predicted_EC.sum(1), gold_EC.sum(1)
    ratios = divide(correct_E, predicted_E), divide(correct_E, gold_E), divide(2 * correct_E, gold_E + predicted_E)
    return {name: float(ratio_E.mean()) if len(ratio_E) else 0.0 for name, ratio_E in zip(RATIOS, ratios, strict=True)}


def _score_ranking(predictions: Predictions) -> Scores:
    gold_EC, probability_EC = predictions.gold_EC, predictions.probability_EC
    value = float(np.average(average_precisions(gold_EC, probability_EC)))
    low, high = mean_average_precision_interval(gold_EC, probability_EC, value)
    coverage = count_coverage(gold_EC, probability_EC)
    measure = Measure(coverage, lambda totals_2T: divide(totals_2T[1], totals_2T[0]), gold_EC, is_error=True)
    coverage_low, coverage_high = interval(measure)
    return {
        "mean_average_precision": value,
        "mean_average_precision_low": low,
        "mean_average_precision_high": high,
        "coverage_error": measure.value,
        "coverage_error_low": coverage_low,
        "coverage_error_high": coverage_high,
    }
