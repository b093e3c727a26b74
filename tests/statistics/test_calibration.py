"""Temperatures against a search by SciPy, and the calibration error against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.optimize import minimize_scalar

from stages.statistics import calibration
from stages.statistics.calibration import (
    fit_sigmoid_temperature,
    fit_softmax_temperature,
    reliability,
    sigmoid,
    softmax,
)
from stages.statistics.measure import Floats, Numbers, Truths


def answers(seed: int, items: int, classes: int, overconfident: float) -> tuple[Floats, Numbers]:
    """Logits that are too large by a factor, and gold classes drawn from the probabilities without it."""
    generator = np.random.default_rng(seed)
    logits_EC = generator.normal(0, 2, (items, classes))
    gold_E = np.array([generator.choice(classes, p=row) for row in special.softmax(logits_EC, axis=1)])
    return logits_EC * overconfident, gold_E


def cross_entropy(logits_EC: Floats, gold_E: Numbers, weight_E: Floats, temperature: float) -> float:
    own_E = special.log_softmax(logits_EC / temperature, axis=1)[np.arange(len(gold_E)), gold_E]
    return -float((weight_E * own_E).sum())


def binary_cross_entropy(logits_EC: Floats, gold_EC: Truths, weight_E: Floats, temperature: float) -> float:
    signed_EC = np.where(gold_EC, logits_EC, -logits_EC) / temperature
    return -float((weight_E[:, None] * special.log_expit(signed_EC)).sum())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.2, 8), st.booleans())
def test_the_softmax_temperature_is_that_of_scipy(seed: int, overconfident: float, weighted: bool) -> None:
    logits_EC, gold_E = answers(seed, 200, 4, overconfident)
    weight_E = np.random.default_rng(seed).random(200) if weighted else np.ones(200)
    found = fit_softmax_temperature(logits_EC, gold_E, weight_E if weighted else None)
    best = minimize_scalar(
        lambda log: cross_entropy(logits_EC, gold_E, weight_E, np.exp(log)),
        bounds=np.log([0.05, 20]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found == pytest.approx(np.exp(best.x), rel=1e-5)
    assert cross_entropy(logits_EC, gold_E, weight_E, found) <= best.fun + 1e-9


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.2, 8))
def test_the_sigmoid_temperature_is_that_of_scipy(seed: int, overconfident: float) -> None:
    generator = np.random.default_rng(seed)
    logits_EC = generator.normal(0, 2, (150, 3))
    gold_EC = generator.random((150, 3)) < special.expit(logits_EC)
    logits_EC, weight_E = logits_EC * overconfident, generator.random(150)
    found = fit_sigmoid_temperature(logits_EC, gold_EC, weight_E)
    best = minimize_scalar(
        lambda log: binary_cross_entropy(logits_EC, gold_EC, weight_E, np.exp(log)),
        bounds=np.log([0.05, 20]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found == pytest.approx(np.exp(best.x), rel=1e-5)


def test_chunks_have_the_temperature_of_all_items(monkeypatch: pytest.MonkeyPatch) -> None:
    logits_EC, gold_E = answers(0, 500, 5, 3)
    gold_EC = np.arange(5) == gold_E[:, None]
    whole = fit_softmax_temperature(logits_EC, gold_E), fit_sigmoid_temperature(logits_EC, gold_EC)
    monkeypatch.setattr(calibration, "ROWS", 64)
    parts = fit_softmax_temperature(logits_EC, gold_E), fit_sigmoid_temperature(logits_EC, gold_EC)
    assert parts == pytest.approx(whole, rel=1e-9)
    assert softmax(logits_EC, 2.5) == pytest.approx(special.softmax(logits_EC / 2.5, axis=1), abs=1e-6)
    assert sigmoid(logits_EC, 2.5) == pytest.approx(special.expit(logits_EC / 2.5), abs=1e-6)


def test_the_temperature_undoes_too_large_logits() -> None:
    logits_EC, gold_E = answers(1, 5000, 4, 3)
    temperature = fit_softmax_temperature(logits_EC.astype(np.float32), gold_E)
    assert temperature == pytest.approx(3, rel=0.1)
    errors = []
    for probability_EC in (softmax(logits_EC, 1), softmax(logits_EC, temperature)):
        correct_E = probability_EC.argmax(1) == gold_E
        errors.append(reliability(probability_EC.max(1), correct_E)["error"])
    assert errors[1] < errors[0] / 4


def test_items_of_weight_zero_do_not_count() -> None:
    logits_EC, gold_E = answers(2, 300, 3, 2)
    weight_E = (np.arange(300) < 200).astype(np.float64)
    expected = fit_softmax_temperature(logits_EC[:200], gold_E[:200])
    assert fit_softmax_temperature(logits_EC, gold_E, weight_E) == pytest.approx(expected, rel=1e-9)


def test_a_temperature_that_no_item_speaks_for_is_one() -> None:
    logits_EC = np.array([[3.0, 1.0], [0.0, 2.0]])
    assert fit_softmax_temperature(logits_EC, np.array([0, 1])) == 1
    assert fit_sigmoid_temperature(logits_EC - 1.5, np.eye(2, dtype=bool)) == 1
    assert fit_softmax_temperature(np.zeros((0, 2)), np.zeros(0, np.int64)) == 1
    assert fit_sigmoid_temperature(np.zeros((0, 2)), np.zeros((0, 2), bool)) == 1


def test_logits_that_mislead_get_the_highest_temperature() -> None:
    assert fit_softmax_temperature(np.array([[3.0, 1.0]] * 5), np.ones(5, np.int64)) == 20
    assert fit_sigmoid_temperature(np.array([[3.0]] * 5), np.zeros((5, 1), bool)) == 20
    nearly = np.array([[1e-3, 0.0]] * 1000 + [[0.0, 1e-6]])
    assert fit_softmax_temperature(nearly, np.zeros(1001, np.int64)) == 0.05


def test_huge_logits_neither_overflow_nor_are_lost() -> None:
    logits_EC = np.array([[1e4, -1e4], [1e4, -1e4], [-1e4, 1e4]])
    assert np.isfinite(fit_softmax_temperature(logits_EC, np.array([0, 1, 1])))
    assert sigmoid(logits_EC, 1).tolist() == [[1, 0], [1, 0], [0, 1]]


def test_reliability_is_that_of_its_definition() -> None:
    generator = np.random.default_rng(3)
    for items in (0, 1, 37, 4000):
        score_E = generator.random(items).astype(np.float32)
        score_E[: items // 10] = 1
        correct_E = generator.random(items) < score_E**2
        found = reliability(score_E, correct_E)
        error = 0.0
        for low in range(10):
            own_E = (score_E * 10 >= low) & ((score_E * 10 < low + 1) | (low == 9))
            if own_E.any():
                error += own_E.mean() * abs(score_E[own_E].mean() - correct_E[own_E].mean())
        assert found["error"] == pytest.approx(error)
