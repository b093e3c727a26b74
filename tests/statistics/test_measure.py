"""Intervals, gains and p-values of measures: for F1 those of a plain form that knows nothing of kinds of examples."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from stages.statistics import bootstrap, significance
from stages.statistics.bootstrap import f1_interval, interval, ranked_interval, resample
from stages.statistics.measure import Counts, Floats, Measure, Numbers, count_kinds, f1_measure, sum_counts
from stages.statistics.significance import gain, gain_interval, p_value

ENDS = (1 - 0.95) / 2, (1 + 0.95) / 2
SIZES = [(1, 1), (3, 2), (40, 1), (500, 3), (3000, 8)]  # sentences, entities in one at most


def plain_f1(counts: Numbers) -> Floats:
    correct, predicted, gold = (np.asarray(row, dtype=np.float64) for row in counts)
    total = predicted + gold
    return np.divide(2 * correct, total, out=np.zeros_like(total), where=total != 0)


def plain_interval(counts_3S: Numbers) -> tuple[float, float]:
    """The multinomial bootstrap with a dense table of kinds and all resamples at once."""
    kinds_3N, times_N = np.unique(counts_3S, axis=1, return_counts=True)
    sentences = counts_3S.shape[1]
    drawn = np.random.default_rng(0).multinomial(sentences, times_N / sentences, size=1000)
    low, high = np.quantile(plain_f1(kinds_3N @ drawn.T), ENDS)
    return float(low), float(high)


def plain_p_value(first_3S: Numbers, second_3S: Numbers) -> float:
    """Approximate randomisation with a coin for each sentence that differs."""
    observed = float(plain_f1(second_3S.sum(1)) - plain_f1(first_3S.sum(1)))
    change_3D = (second_3S - first_3S)[:, (first_3S != second_3S).any(0)].astype(np.float32)
    sums_31, other_sums_31 = first_3S.sum(1, keepdims=True), second_3S.sum(1, keepdims=True)
    generator = np.random.default_rng(0)
    as_good = 0
    for _ in range(0, 10_000, 500):
        exchanged_DT = generator.integers(0, 2, (change_3D.shape[1], 500), dtype=np.int8).astype(np.float32)
        moved_3T = np.rint(change_3D @ exchanged_DT).astype(np.int64)
        gain_T = plain_f1(other_sums_31 - moved_3T) - plain_f1(sums_31 + moved_3T)
        as_good += int((gain_T >= observed - 1e-12).sum())
    return (as_good + 1) / 10_001


def plain_gain_interval(first_3S: Numbers, second_3S: Numbers) -> tuple[float, float]:
    """The paired bootstrap."""
    kinds_6N, times_N = np.unique(np.vstack([first_3S, second_3S]), axis=1, return_counts=True)
    sentences = first_3S.shape[1]
    drawn_TN = np.random.default_rng(0).multinomial(sentences, times_N / sentences, size=10_000)
    sums_6T = kinds_6N @ drawn_TN.T
    low, high = np.quantile(plain_f1(sums_6T[3:]) - plain_f1(sums_6T[:3]), ENDS)
    return float(low), float(high)


def random_counts(seed: int, sentences: int, most: int) -> tuple[Numbers, Numbers]:
    generator = np.random.default_rng(seed)
    gold_S = generator.integers(0, most + 1, sentences)
    models = []
    for share in (0.6, 0.7):
        correct_S = generator.binomial(gold_S, share)
        models.append(np.stack([correct_S, correct_S + generator.poisson(0.3, sentences), gold_S]))
    return models[0], models[1]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn in parts to limit memory is drawn in many."""
    monkeypatch.setattr(bootstrap, "DRAWN", 1000)
    monkeypatch.setattr(significance, "BLOCK", 8)


@pytest.mark.parametrize(("sentences", "most"), SIZES)
def test_f1_has_the_numbers_of_the_plain_form(small_parts: None, sentences: int, most: int) -> None:
    first, second = random_counts(sentences, sentences, most)
    one, other = f1_measure(first), f1_measure(second)
    assert interval(one) == f1_interval(*first) == plain_interval(first)
    assert gain(one, other) == plain_f1(second.sum(1)) - plain_f1(first.sum(1))
    assert p_value(one, other) == plain_p_value(first, second)
    assert gain_interval(one, other) == plain_gain_interval(first, second)


def test_the_parts_that_are_drawn_are_those_of_a_whole() -> None:
    first, second = random_counts(7, 3000, 3)
    one, other = f1_measure(first), f1_measure(second)
    assert p_value(one, other) == plain_p_value(first, second)
    assert gain_interval(one, other) == plain_gain_interval(first, second)


def test_counts_too_large_for_one_key_have_the_same_kinds() -> None:
    first, _ = random_counts(3, 200, 3)
    large = first.astype(np.int64) * 2**40
    few, many = count_kinds(first), count_kinds(large)
    assert many.counts_KN.tolist() == (few.counts_KN * 2**40).tolist()
    assert many.kind_S is not None
    assert few.kind_S is not None
    assert many.kind_S.tolist() == few.kind_S.tolist()


def test_sparse_counts_have_the_numbers_of_dense_ones() -> None:
    first, second = (f1_measure(counts) for counts in random_counts(5, 800, 2))
    thin_first, thin_second = (
        replace(each, counts=replace(each.counts, counts_KN=sparse.csr_array(each.counts.counts_KN)))
        for each in (first, second)
    )
    assert interval(thin_first) == interval(first)
    assert p_value(thin_first, thin_second) == p_value(first, second)
    assert gain_interval(thin_first, thin_second) == gain_interval(first, second)


def test_no_examples_have_no_interval() -> None:
    empty = f1_measure(np.zeros((3, 0), np.int64))
    assert (empty.value, interval(empty), gain(empty, empty)) == (0, (0, 0), 0)
    assert (p_value(empty, empty), gain_interval(empty, empty)) == (1, (0, 0))


def root_mean_square(totals_2T: Floats) -> Floats:
    return np.sqrt(totals_2T[1] / totals_2T[0])


def error_measure(error_S: Floats) -> Measure:
    counts = Counts(np.stack([np.ones(len(error_S)), error_S**2]), None)
    return Measure(counts, root_mean_square, np.zeros(len(error_S)), is_error=True)


def test_an_error_is_printed_as_it_is_and_gained_by_falling() -> None:
    generator = np.random.default_rng(0)
    error_S = generator.normal(size=400)
    worse, better = error_measure(error_S * 2), error_measure(error_S)
    assert better.value == pytest.approx(np.sqrt((error_S**2).mean()))
    assert gain(worse, better) == pytest.approx(better.value) == -gain(better, worse)
    assert p_value(worse, better) < 0.01
    assert p_value(better, worse) > 0.99
    low, high = gain_interval(worse, better)
    assert 0 < low < better.value < high


def test_examples_of_their_own_kind_have_the_interval_of_a_plain_bootstrap() -> None:
    error_S = np.random.default_rng(1).normal(size=300)
    generator = np.random.default_rng(2)
    plain = [np.sqrt((error_S[generator.integers(0, 300, 300)] ** 2).mean()) for _ in range(4000)]
    assert interval(error_measure(error_S)) == pytest.approx(np.quantile(plain, [0.025, 0.975]), rel=0.03)


def test_totals_of_fractions_do_not_depend_on_threads() -> None:
    generator = np.random.default_rng(3)
    counts_KN, times_NT = generator.normal(size=(5, 2000)), generator.integers(0, 4, (2000, 70)).astype(float)
    totals = sum_counts(counts_KN, times_NT)
    assert totals == pytest.approx(counts_KN @ times_NT)
    one_by_one = np.hstack([sum_counts(counts_KN, times_NT[:, [trial]]) for trial in range(70)])
    assert (totals == one_by_one).all()


def test_other_examples_or_gold_answers_are_refused() -> None:
    first, second = random_counts(1, 50, 2)
    other = second.copy()
    other[2, 7] += 1
    for compare in (gain, p_value, gain_interval):
        with pytest.raises(ValueError, match="not scored on the same examples"):
            compare(f1_measure(first), f1_measure(other))
        with pytest.raises(ValueError, match="not scored on the same examples"):
            compare(f1_measure(first), f1_measure(second[:, :-1]))


def test_a_selection_is_scored_as_if_it_were_all() -> None:
    first, _ = random_counts(2, 300, 3)
    chosen_S = np.random.default_rng(0).random(300) < 0.3
    own = f1_measure(first).select(chosen_S)
    assert (own.value, own.support) == (f1_measure(first[:, chosen_S]).value, chosen_S.sum())
    assert interval(own) == interval(f1_measure(first[:, chosen_S]))
    errors_S = np.random.default_rng(1).normal(size=300)
    assert error_measure(errors_S).select(chosen_S).value == error_measure(errors_S[chosen_S]).value


def test_a_sample_of_many_examples_has_the_interval_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    values_S = np.random.default_rng(0).normal(3, 1, 20_000)
    mean = values_S.mean()
    exact = 1.96 * values_S.std() / len(values_S) ** 0.5

    def weighted_mean(chosen_M: Numbers, times_TM: Numbers) -> Floats:
        return (times_TM @ values_S[chosen_M] / times_TM.sum(1))[None]

    for most in (20_000, 2000):
        monkeypatch.setattr(bootstrap, "MAX_RANKED", most)
        (low,), (high,) = ranked_interval(weighted_mean, 20_000, [mean])
        assert (high - mean, mean - low) == pytest.approx((exact, exact), rel=0.15)


def test_resamples_are_the_same_each_time() -> None:
    counts = f1_measure(random_counts(1, 50, 2)[0]).counts
    assert (resample(counts) == resample(counts)).all()
    assert resample(counts).shape == (3, 1000)
