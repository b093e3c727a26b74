"""Counts of classified texts that add up over examples, and the scores that follow from their totals.

The first 3 C counts are the correct, predicted and gold labels of each of C labels. Those of several labels have four
more: whether the sets agree, and precision, recall and F1 of the set (scikit-learn's average="samples").

Scores are those of scikit-learn to the last digit; a ratio without a denominator is 0.

Shape legend: E examples, C labels, N kinds of examples, K counts, T totals.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stages.statistics.measure import Counts, Floats, Numbers, Score, Truths, divide, number_kinds

SAMPLE_COUNTS = 5  # examples, agreement, precision, recall, F1
Average = Callable[[Floats, Floats], Floats]


def count_confusion(gold_E: Numbers, predicted_E: Numbers, classes: int) -> Counts:
    """Counts of texts with one label each; a prediction of `classes` is a label that is not among the C.

    The kind of an example is its cell in the confusion matrix.
    """
    cell_N, kind_E = number_kinds(gold_E * (classes + 1) + predicted_E)
    gold_N, predicted_N = np.divmod(cell_N, classes + 1)
    kinds = np.arange(len(cell_N))
    known, right = predicted_N < classes, predicted_N == gold_N
    rows = np.concatenate([gold_N[right], classes + predicted_N[known], 2 * classes + gold_N])
    columns = np.concatenate([kinds[right], kinds[known], kinds])
    shape = (3 * classes, len(cell_N))
    return Counts(sparse.csr_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape), kind_E)


def count_label_sets(gold_EC: Truths, predicted_EC: Truths) -> Counts:
    """Counts of texts with several labels each; the kind of an example is its two sets."""
    examples = len(gold_EC)
    packed = np.packbits(np.hstack([gold_EC, predicted_EC]), axis=1)
    rows_E = np.ascontiguousarray(packed).view(np.dtype((np.void, max(1, packed.shape[1])))).reshape(-1)[:examples]
    _, first_N, kind_E = np.unique(rows_E, return_index=True, return_inverse=True)
    gold_NC, predicted_NC = gold_EC[first_N], predicted_EC[first_N]
    correct_NC = gold_NC & predicted_NC
    correct_N, predicted_N, gold_N = correct_NC.sum(1), predicted_NC.sum(1), gold_NC.sum(1)
    samples = [
        np.ones(len(first_N)),
        (gold_NC == predicted_NC).all(1),
        divide(correct_N, predicted_N),
        divide(correct_N, gold_N),
        divide(2 * correct_N, gold_N + predicted_N),
    ]
    counts_KN = sparse.vstack(
        [
            sparse.csr_array(np.hstack([correct_NC, predicted_NC, gold_NC]).T.astype(np.float64)),
            sparse.csr_array(np.stack(samples).astype(np.float64)),
        ],
        format="csr",
    )
    return Counts(counts_KN, kind_E.reshape(-1))


def split_counts(totals_KT: Floats, *, multi_label: bool) -> tuple[Floats, Floats]:
    """Divide totals into those of labels [3, C, T], and of samples [5, T], of which there are none with one label."""
    samples = SAMPLE_COUNTS if multi_label else 0
    labels = len(totals_KT) - samples
    return totals_KT[:labels].reshape(3, labels // 3, -1), totals_KT[labels:]


def label_ratios(totals_3CT: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each label, [C, T]."""
    correct, predicted, gold = totals_3CT
    return divide(correct, predicted), divide(correct, gold), divide(2 * correct, gold + predicted)


def micro_ratios(totals_3CT: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of all labels together, [T]."""
    precision, recall, f1 = label_ratios(totals_3CT.sum(1, keepdims=True))
    return precision[0], recall[0], f1[0]


def macro_ratios(totals_3CT: Floats, *, multi_label: bool) -> tuple[Floats, Floats, Floats]:
    """The means over labels: all of them if a text may have several, else those that occur, gold or predicted."""
    weight_CT = np.ones_like(totals_3CT[0]) if multi_label else (totals_3CT[1] + totals_3CT[2] > 0).astype(np.float64)
    precision, recall, f1 = (_average(ratio_CT, weight_CT, None) for ratio_CT in label_ratios(totals_3CT))
    return precision, recall, f1


def weighted_ratios(totals_3CT: Floats, *, multi_label: bool) -> tuple[Floats, Floats, Floats]:
    """The means over labels, weighted by how many examples have them in gold."""
    weight_CT = np.ones_like(totals_3CT[0]) if multi_label else (totals_3CT[1] + totals_3CT[2] > 0).astype(np.float64)
    precision, recall, f1 = (_average(ratio_CT, weight_CT, totals_3CT[2]) for ratio_CT in label_ratios(totals_3CT))
    return precision, recall, f1


def accuracy(totals_3CT: Floats) -> Floats:
    """The share of texts whose one label is right."""
    return divide(totals_3CT[0].sum(0), totals_3CT[2].sum(0))


def matthews(totals_3CT: Floats) -> Floats:
    """Matthews' correlation coefficient of several classes (Gorodkin, 2004).

    It is 0 if the gold labels, or the predicted ones, are all equal. Predictions of other labels than the C are a class
    of their own.
    """
    correct, predicted, gold = totals_3CT
    examples = gold.sum(0)
    other = examples - predicted.sum(0)
    covariance = correct.sum(0) * examples - (gold * predicted).sum(0)
    of_predicted = examples**2 - (predicted**2).sum(0) - other**2
    of_gold = examples**2 - (gold**2).sum(0)
    return divide(covariance, np.sqrt(of_predicted * of_gold))


def primary_score(name: str, *, multi_label: bool) -> Score:
    """The score of totals [K, T] that has this name in params.yaml; KeyError if there is none for such labels."""

    def of_labels(score: Callable[[Floats], Floats]) -> Score:
        return lambda totals_KT: score(split_counts(totals_KT, multi_label=multi_label)[0])

    scores = {
        "macro_f1": of_labels(lambda totals_3CT: macro_ratios(totals_3CT, multi_label=multi_label)[2]),
        "micro_f1": of_labels(lambda totals_3CT: micro_ratios(totals_3CT)[2]),
        "weighted_f1": of_labels(lambda totals_3CT: weighted_ratios(totals_3CT, multi_label=multi_label)[2]),
    }
    if multi_label:
        return (scores | {"exact_match": exact_match})[name]
    return (scores | {"accuracy": of_labels(accuracy), "matthews": of_labels(matthews)})[name]


def exact_match(totals_KT: Floats) -> Floats:
    """The share of texts whose set of labels is right."""
    examples, agreeing = split_counts(totals_KT, multi_label=True)[1][:2]
    return divide(agreeing, examples)


def hamming_loss(totals_KT: Floats) -> Floats:
    """The share of wrong answers among those to each label of each text."""
    (correct, predicted, gold), samples = split_counts(totals_KT, multi_label=True)
    return divide((predicted + gold - 2 * correct).sum(0), samples[0] * len(gold))


def samples_ratios(totals_KT: Floats) -> tuple[Floats, Floats, Floats]:
    """The means over texts of precision, recall and F1 of their sets of labels."""
    examples, _, precision, recall, f1 = split_counts(totals_KT, multi_label=True)[1]
    return divide(precision, examples), divide(recall, examples), divide(f1, examples)


def _average(values_CT: Floats, is_counted_CT: Floats, weight_CT: npt.NDArray[np.float64] | None) -> Floats:
    """The mean over the counted labels; the unweighted one where the weights are all 0, as scikit-learn has it.

    A single column is summed in NumPy's order for one dimension, which is that of scikit-learn.
    """
    if values_CT.shape[1] == 1:
        counted = np.flatnonzero(is_counted_CT[:, 0])
        if not len(counted):
            return np.zeros(1)
        weights = None if weight_CT is None or not weight_CT[counted].any() else weight_CT[counted, 0]
        return np.array([np.average(np.ascontiguousarray(values_CT[counted, 0]), weights=weights)])
    means_T = divide((values_CT * is_counted_CT).sum(0), is_counted_CT.sum(0))
    if weight_CT is None:
        return means_T
    total_T = weight_CT.sum(0)
    weighted_T: Floats = np.where(total_T > 0, divide((values_CT * weight_CT).sum(0), total_T), means_T)
    return weighted_T
