"""The scores of classified texts are those of scikit-learn to the last digit, on random answers of any shape."""

import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from stages.statistics.significance import gain, gain_interval, p_value
from stages.statistics.slices import score_slices
from stages.tasks.text_classification.scores.metric import (
    confusion,
    primary,
    primary_measure,
    scores,
)
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.ranking import mean_average_precision_interval
from stages.tasks.text_classification.scores.thresholds import choose_thresholds, predict_one, predict_several

ONE = ("accuracy", "matthews", "macro_f1", "micro_f1", "weighted_f1")
SEVERAL = ("exact_match", "macro_f1", "micro_f1", "weighted_f1")
RATIOS = ("precision", "recall", "f1")


def predictions(seed: int, examples: int, labels: int, *, several: bool, skill: float = 1.5) -> Predictions:
    """Random answers; some labels are never gold, some never predicted."""
    generator = np.random.default_rng(seed)
    gold_EC = generator.random((examples, labels)) < 0.3
    if not several:
        gold_EC = np.arange(labels) == generator.integers(0, max(1, labels - seed % 3), examples)[:, None]
    logits = generator.normal(size=(examples, labels)) + skill * gold_EC - 0.5
    logits[:, : seed % 2] -= 9
    probability = np.round(1 / (1 + np.exp(-logits)), 2).astype(np.float32)  # with ties
    thresholds = (0.5,) * labels if several else None
    names = tuple(f"L{number}" for number in generator.permutation(labels))
    return Predictions(
        texts=pa.array([f"text {number}" for number in range(examples)], pa.string()),
        pairs=None,
        labels=names,
        gold_EC=gold_EC,
        probability_EC=probability,
        predicted_EC=predict_several(probability, thresholds) if thresholds else predict_one(probability),
        windows_E=np.ones(examples, np.int64),
        slices={
            "region": pa.array([["a", "b", None][i % 3] for i in range(examples)], pa.string()).dictionary_encode()
        },
        thresholds=thresholds,
    )


def names_of(found: Predictions) -> tuple[list[str], list[str]]:
    names = np.array(found.labels)
    return names[found.gold_EC.argmax(1)].tolist(), names[found.predicted_EC.argmax(1)].tolist()


def averages(row: dict[str, float]) -> tuple[float, ...]:
    return tuple(row[name] for name in RATIOS)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 40))
def test_scores_of_one_label_are_those_of_scikit_learn(seed: int, examples: int, labels: int) -> None:
    found = predictions(seed, examples, labels, several=False)
    gold, predicted = names_of(found)
    table = scores(found)
    for average in ("micro", "macro", "weighted"):
        expected = metrics.precision_recall_fscore_support(gold, predicted, average=average, zero_division=0)
        assert averages(table[average]) == expected[:3]
    own = sorted(table["per_label"])
    assert own == sorted({*gold, *predicted})
    per_label = metrics.precision_recall_fscore_support(gold, predicted, labels=own, zero_division=0, average=None)
    for index, label in enumerate(own):
        row = table["per_label"][label]
        assert (*averages(row), row["support"]) == tuple(column[index] for column in per_label)
    assert table["overall"]["accuracy"] == metrics.accuracy_score(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single label
        assert table["overall"]["matthews"] == metrics.matthews_corrcoef(gold, predicted)
        order = metrics.confusion_matrix(gold, predicted, labels=list(found.labels))
    assert confusion(found).tolist() == order.tolist()
    for name in ONE:
        row = primary(found, name)
        part, key = ("overall", name) if name in table["overall"] else (name.removesuffix("_f1"), "f1")
        expected_row = [table[part][f"{key}{end}"] for end in ("", "_low", "_high")]
        assert [row["value"], row["low"], row["high"]] == expected_row
        assert row["support"] == examples


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 30))
def test_scores_of_several_labels_are_those_of_scikit_learn(seed: int, examples: int, labels: int) -> None:
    found = predictions(seed, examples, labels, several=True)
    order = [found.labels.index(name) for name in sorted(found.labels)]
    gold, predicted, probability = (
        array[:, order] for array in (found.gold_EC, found.predicted_EC, found.probability_EC)
    )
    table = scores(found)
    for average in ("micro", "macro", "weighted", "samples"):
        expected = metrics.precision_recall_fscore_support(gold, predicted, average=average, zero_division=0)
        assert averages(table[average]) == expected[:3], average
    per_label = metrics.precision_recall_fscore_support(gold, predicted, average=None, zero_division=0)
    for index, label in enumerate(sorted(found.labels)):
        row = table["per_label"][label]
        assert (*averages(row), row["support"]) == tuple(column[index] for column in per_label)
    overall = table["overall"]
    assert overall["exact_match"] == metrics.accuracy_score(gold, predicted)
    assert overall["hamming_loss"] == metrics.hamming_loss(gold, predicted)
    assert overall["coverage_error"] == metrics.coverage_error(gold, probability)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that no text has
        expected_map = metrics.average_precision_score(found.gold_EC, found.probability_EC)
    assert overall["mean_average_precision"] == expected_map
    for name in SEVERAL:
        assert primary(found, name)["value"] == table.get(name.removesuffix("_f1"), overall).get(
            "f1", overall.get(name)
        )


@pytest.mark.parametrize("several", [False, True])
def test_intervals_are_those_of_a_naive_bootstrap(several: bool) -> None:
    found = predictions(4, 150, 4, several=several)
    table = scores(found)
    generator = np.random.default_rng(1)
    resampled = []
    for _ in range(400):
        chosen = generator.integers(0, 150, 150)
        if several:
            gold, predicted, probability = (
                array[chosen] for array in (found.gold_EC, found.predicted_EC, found.probability_EC)
            )
            both, either = gold & predicted, gold.astype(int) + predicted
            covered = probability >= np.where(gold, probability, np.inf).min(1)[:, None]
            resampled.append(
                [
                    np.mean(2 * both.sum(0) / np.maximum(either.sum(0), 1)),
                    np.mean(gold != predicted),
                    metrics.average_precision_score(gold, probability),
                    covered.sum(1).mean(),
                    np.mean(2 * both.sum(1) / np.maximum(either.sum(1), 1)),
                ]
            )
        else:
            gold_names, predicted_names = (np.array(names)[chosen] for names in names_of(found))
            resampled.append(
                [
                    metrics.f1_score(gold_names, predicted_names, average="macro", zero_division=0),
                    metrics.matthews_corrcoef(gold_names, predicted_names),
                    metrics.f1_score(gold_names, predicted_names, average="weighted", zero_division=0),
                ]
            )
    overall = table["overall"]
    rows = [(table["macro"], "f1"), (overall, "matthews"), (table["weighted"], "f1")]
    if several:
        ranked = [(overall, name) for name in ("hamming_loss", "mean_average_precision", "coverage_error")]
        rows = [(table["macro"], "f1"), *ranked, (table["samples"], "f1")]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    for index, (row, name) in enumerate(rows):
        width = high[index] - low[index]
        assert row[f"{name}_low"] == pytest.approx(low[index], abs=0.25 * width), name
        assert row[f"{name}_high"] == pytest.approx(high[index], abs=0.25 * width), name


def test_a_gate_compares_the_labels_that_both_know() -> None:
    found = predictions(0, 300, 5, several=False)
    known = sorted(found.labels)[:3]
    gold, predicted = names_of(found)
    kept = [index for index, name in enumerate(gold) if name in known]
    expected_gold, expected = [gold[index] for index in kept], [predicted[index] for index in kept]
    measure = primary_measure(found, "macro_f1", known)
    assert measure.support == len(kept)
    assert measure.value == metrics.f1_score(expected_gold, expected, labels=known, average="macro", zero_division=0)
    assert primary_measure(found, "accuracy", known).value == metrics.accuracy_score(expected_gold, expected)
    other = ["other" if name not in known else name for name in expected]
    assert primary_measure(found, "matthews", known).value == metrics.matthews_corrcoef(expected_gold, other)
    assert primary_measure(found, "macro_f1", []).support == 0
    several = predictions(0, 100, 5, several=True)
    assert primary_measure(several, "exact_match", known).support == 100


@pytest.mark.parametrize(("several", "name"), [*((False, name) for name in ONE), *((True, name) for name in SEVERAL)])
def test_two_models_are_compared_by_each_primary_score(several: bool, name: str) -> None:
    better = predictions(2, 200, 4, several=several, skill=3)
    worse = replace(predictions(2, 200, 4, several=several, skill=1), labels=better.labels)
    first, second = (primary_measure(each, name) for each in (worse, better))
    assert gain(first, second) == second.value - first.value > 0
    assert p_value(first, second) < 0.01
    low, high = gain_interval(first, second)
    assert 0 < low < gain(first, second) < high
    with pytest.raises(ValueError, match="not scored on the same examples"):
        gain(first, primary_measure(predictions(3, 200, 4, several=several), name))


def test_a_score_that_such_labels_lack_is_refused() -> None:
    for several, name in ((True, "accuracy"), (False, "exact_match"), (False, "mean_average_precision")):
        with pytest.raises(KeyError):
            primary_measure(predictions(1, 5, 3, several=several), name)


def test_slices_have_the_primary_score_of_their_examples() -> None:
    found = predictions(3, 90, 3, several=False)
    table = score_slices(primary_measure(found, "macro_f1"), found.slices)
    gold, predicted = names_of(found)
    assert {name: row["support"] for name, row in table["region"].items()} == {"a": 30, "b": 30}
    expected = metrics.f1_score(gold[::3], predicted[::3], average="macro", zero_division=0)
    assert table["region"]["a"]["value"] == expected


def test_nothing_to_score_is_zero() -> None:
    for several in (False, True):
        empty = predictions(0, 1, 3, several=several)
        empty = replace(empty, gold_EC=empty.gold_EC[:0], predicted_EC=empty.predicted_EC[:0])
        empty = replace(empty, probability_EC=empty.probability_EC[:0])
        assert primary(empty, "macro_f1") == {"name": "macro_f1", "value": 0, "low": 0, "high": 0, "support": 0}


def test_many_texts_are_ranked_by_a_sample() -> None:
    many = predictions(5, 12_000, 3, several=True)
    value = metrics.average_precision_score(many.gold_EC, many.probability_EC)
    low, high = mean_average_precision_interval(many.gold_EC, many.probability_EC, value)
    assert low < value < high
    assert high - low < 0.03


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 30), st.booleans())
def test_no_threshold_is_better_than_the_chosen_one(seed: int, examples: int, per_label: bool) -> None:
    found = predictions(seed, examples, 3, several=True)
    chosen = choose_thresholds(found.probability_EC, found.gold_EC, per_label=per_label)
    grid = np.append(0.0, np.linspace(0, 1, 1001) + 1e-9)

    def f1(thresholds: tuple[float, ...], label: int) -> float:
        predicted = predict_several(found.probability_EC, thresholds)
        own = slice(label, label + 1) if per_label else slice(None)
        gold, predicted = found.gold_EC[:, own], predicted[:, own]
        return 2 * int((gold & predicted).sum()) / max(1, int(gold.sum()) + int(predicted.sum()))

    for label in range(3 if per_label else 1):
        tried = np.array([f1((value,) * 3, label) for value in grid])
        assert f1(chosen, label) == pytest.approx(max(tried.max(), f1((0.5,) * 3, label)))
        if f1((0.5,) * 3, label) == f1(chosen, label):
            assert chosen[label] == 0.5
    if not per_label:
        assert len(set(chosen)) == 1


def test_equally_good_thresholds_are_decided_by_the_distance_from_one_half() -> None:
    probability = np.array([[0.8], [0.6], [0.2], [0.1]], np.float32)
    assert choose_thresholds(probability, np.array([[1], [0], [0], [0]], bool), per_label=True) == pytest.approx([0.7])
    assert choose_thresholds(probability, np.array([[1], [1], [0], [0]], bool), per_label=True) == (0.5,)
    assert choose_thresholds(probability, np.array([[1], [1], [1], [0]], bool), per_label=True) == pytest.approx([0.15])
    assert choose_thresholds(probability, np.zeros((4, 1), bool), per_label=True) == (0.5,)
