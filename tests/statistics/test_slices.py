"""The gap test: by its definition, at its level, and where small slices lack classes."""

import numpy as np
import pyarrow as pa
import pytest

from stages.statistics import slices
from stages.statistics.bootstrap import interval
from stages.statistics.measure import Counts, Floats, Measure, Numbers, Truths, count_kinds, divide
from stages.statistics.slices import find_gap, score_slices


def share(totals_2T: Floats) -> Floats:
    return divide(totals_2T[0], totals_2T[1])


def accuracy(correct_S: Truths) -> Measure:
    correct_2S = np.stack([correct_S, np.ones(len(correct_S))]).astype(np.int64)
    return Measure(count_kinds(correct_2S), share, np.zeros(len(correct_S)))


def test_the_p_value_is_that_of_permuted_slices() -> None:
    generator = np.random.default_rng(0)
    correct_S, chosen_S = generator.random(120) < 0.7, np.arange(120) < 40
    correct_S[:5] = False
    gap = find_gap(accuracy(correct_S), chosen_S)
    observed = correct_S[:40].mean() - correct_S[40:].mean()
    permuted = np.stack([generator.permutation(correct_S) for _ in range(20_000)])
    differences = permuted[:, :40].mean(1) - permuted[:, 40:].mean(1)
    assert gap is not None
    assert gap.value == pytest.approx(observed)
    assert gap.p_value == pytest.approx((abs(differences) >= abs(observed) - 1e-12).mean(), abs=0.04)


def test_slices_without_a_gap_are_found_in_at_most_one_of_twenty_trials() -> None:
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(600):
        gap = find_gap(accuracy(generator.random(300) < 0.8), generator.random(300) < 0.1)
        found += gap is not None and gap.p_value < 0.05
    assert found <= 600 * 0.05 + 2 * (600 * 0.05 * 0.95) ** 0.5


def test_a_slice_that_is_answered_worse_is_found() -> None:
    generator = np.random.default_rng(2)
    chosen_S = np.arange(1000) < 200
    gaps = [find_gap(accuracy(generator.random(1000) < np.where(chosen_S, 0.7, 0.85)), chosen_S) for _ in range(50)]
    assert sum(gap is not None and gap.value < 0 and gap.p_value < 0.05 for gap in gaps) >= 45


def test_errors_of_their_own_kind_have_a_gap_below_zero_where_they_are_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "DRAWN", 5000)
    error_S = np.random.default_rng(3).normal(size=300)
    chosen_S = np.arange(300) < 100
    scaled_S = np.where(chosen_S, 2 * error_S, error_S)
    for chosen, sign in ((chosen_S, -1), (~chosen_S, 1)):
        counts = Counts(np.stack([scaled_S**2, np.ones(300)]), None)
        gap = find_gap(Measure(counts, share, np.zeros(300), is_error=True), chosen)
        assert gap is not None
        assert np.sign(gap.value) == sign
        assert gap.p_value < 0.01


def columns(*values: str | None) -> pa.DictionaryArray:
    return pa.array(values, pa.string()).dictionary_encode()


def test_a_slice_has_score_interval_support_and_gap() -> None:
    correct_S = np.array([1, 1, 0, 1, 0, 0, 1]).astype(bool)
    measure = accuracy(correct_S)
    table = score_slices(
        measure, {"region": columns("b", "b", "a", None, "a", "b", "a"), "source": columns(*"xxxxxxx")}
    )
    assert list(table["region"]) == ["a", "b"]
    row = table["region"]["b"]
    assert (row["value"], row["support"]) == (pytest.approx(2 / 3), 3)
    assert (row["low"], row["high"]) == interval(accuracy(correct_S[[0, 1, 5]]))
    assert row["gap"] == pytest.approx(2 / 3 - 1 / 2)
    assert 0.5 < row["p_value"] <= 1
    assert table["source"]["x"]["gap"] is table["source"]["x"]["p_value"] is None


def test_values_written_twice_in_a_dictionary_are_one_slice() -> None:
    index = pa.array([0, 1, 2, None], pa.int32())
    twice = pa.DictionaryArray.from_arrays(index, pa.array(["a", "b", "a"]))
    table = score_slices(accuracy(np.array([True, False, False, True])), {"source": twice})
    assert {name: row["support"] for name, row in table["source"].items()} == {"a": 2, "b": 1}


def test_no_slice_is_left_empty() -> None:
    unused = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["a", "b"]))
    assert list(score_slices(accuracy(np.array([True, False])), {"source": unused})["source"]) == ["a"]
    nothing: Numbers = np.zeros(0, np.int64)
    assert find_gap(accuracy(nothing.astype(bool)), nothing.astype(bool)) is None
