"""The significance test of the gate: against a plain loop, and on simulated models with a known difference."""

import numpy as np
import pytest

from stages.statistics import significance
from stages.statistics.measure import Measure, Numbers, f1_measure
from stages.statistics.significance import gain, gain_interval, p_value

LEVEL = 0.05
SPURIOUS = 0.35  # spurious entities per gold one
# Of two models, beyond what easy and hard sentences cause: the variance of their difference in correct entities is then
# 0.14 per gold entity. Two training runs on the demo corpus agree more: 0.08.
AGREEMENT = 0.8


def simulate(generator: np.random.Generator, sentences: int, *, better_by: float) -> tuple[Measure, Measure]:
    """Two models on the same sentences, easy and hard ones; the second finds `better_by` more of the entities."""
    gold_S = generator.poisson(1.2, sentences)
    ease_E = np.repeat(generator.beta(4, 2, sentences), gold_S)
    luck_E = generator.random(len(ease_E))
    shared_S = generator.poisson(AGREEMENT * SPURIOUS * gold_S)  # spurious entities of both
    outputs = []
    for more in (0.0, better_by):
        own_E = np.where(generator.random(len(ease_E)) < AGREEMENT, luck_E, generator.random(len(ease_E)))
        correct_S = np.bincount(np.repeat(np.arange(sentences), gold_S), own_E < ease_E + more, sentences).astype(int)
        spurious_S = shared_S + generator.poisson(max(0.0, (1 - AGREEMENT) * SPURIOUS - more) * gold_S)
        outputs.append(f1_measure(np.stack([correct_S, correct_S + spurious_S, gold_S])))
    return outputs[0], outputs[1]


def counts_of(measure: Measure) -> Numbers:
    counts_3S: Numbers = measure.counts.counts_KN[:, measure.counts.kind_S]
    return counts_3S


def plain_f1(counts_3S: Numbers) -> float:
    correct, predicted, gold = (int(row.sum()) for row in counts_3S)
    return 2 * correct / (predicted + gold) if predicted + gold else 0.0


def test_p_value_equals_that_of_all_exchanges_counted_one_by_one() -> None:
    measures = simulate(np.random.default_rng(5), 8, better_by=0.2)
    first, second = (counts_of(measure) for measure in measures)
    observed = plain_f1(second) - plain_f1(first)
    as_good = 0
    for choice in range(2**8):
        exchanged = np.array([choice >> bit & 1 for bit in range(8)], dtype=bool)
        one, other = np.where(exchanged, second, first), np.where(exchanged, first, second)
        as_good += plain_f1(other) - plain_f1(one) >= observed - 1e-12
    assert gain(*measures) == pytest.approx(observed)
    assert p_value(*measures) == pytest.approx(as_good / 2**8, abs=0.02)


def most_by_chance(trials: int) -> float:
    """How many of so many trials a test passes at most, 39 times in 40: its level's share, and luck."""
    return trials * LEVEL + 2 * (trials * LEVEL * (1 - LEVEL)) ** 0.5


def test_models_without_a_difference_pass_in_one_of_twenty_trials() -> None:
    generator = np.random.default_rng(1)
    passed = sum(p_value(*simulate(generator, 300, better_by=0.0)) < LEVEL for _ in range(300))
    assert passed <= most_by_chance(300)


def test_three_points_on_a_thousand_sentences_pass_in_four_of_five_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "TRIALS", 1000)  # has the same power, and costs a tenth
    generator = np.random.default_rng(2)
    gains, passed = [], 0
    for _ in range(300):
        first, second = simulate(generator, 1000, better_by=0.03)
        gains.append(gain(first, second))
        passed += p_value(first, second) < LEVEL
    assert 0.025 < np.mean(gains) < 0.035
    assert passed >= 300 * 0.8


def test_the_interval_contains_the_true_gain_and_is_the_same_each_time() -> None:
    generator = np.random.default_rng(3)
    gains, contained = [], 0
    pairs = [simulate(generator, 300, better_by=0.05) for _ in range(100)]
    gains = [gain(*pair) for pair in pairs]
    for pair in pairs:
        low, high = gain_interval(*pair)
        contained += low <= np.mean(gains) <= high
    assert contained >= 88
    assert gain_interval(*pairs[0]) == gain_interval(*pairs[0])


def test_fewer_trials_where_each_is_dear_keep_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "COINS", 1)
    monkeypatch.setattr(significance, "DRAWS", 1)
    generator = np.random.default_rng(1)
    found = [p_value(*simulate(generator, 300, better_by=0.0)) for _ in range(400)]
    assert sum(p < LEVEL for p in found) <= most_by_chance(400)
    assert {round(p * 1001, 6) % 1 for p in found} == {0}  # of 1,000 trials each
    pair = simulate(generator, 300, better_by=0.05)
    few = gain_interval(*pair)
    monkeypatch.undo()
    low, high = gain_interval(*pair)
    assert few != (low, high)
    assert few == pytest.approx((low, high), abs=0.1 * (high - low))


def test_equal_outputs_have_no_gain() -> None:
    first, _ = simulate(np.random.default_rng(4), 50, better_by=0.0)
    assert (gain(first, first), p_value(first, first), gain_interval(first, first)) == (0.0, 1.0, (0.0, 0.0))


def test_other_sentences_are_refused() -> None:
    first, second = simulate(np.random.default_rng(6), 50, better_by=0.0)
    with pytest.raises(ValueError, match="not scored on the same examples"):
        gain(first, second.select(np.arange(50) < 49))
