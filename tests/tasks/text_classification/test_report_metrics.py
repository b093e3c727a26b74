"""What the report of a classifier of texts counts and measures."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from stages.statistics.calibration import reliability, sigmoid, softmax
from stages.tasks.text_classification.report.analysis import count_confused
from stages.tasks.text_classification.report.confidence import (
    compare_calibration,
    trace_thresholds,
    undo_calibration,
)
from tests.tasks.text_classification.reports import LABELS, both, made, plain, predictions_of


def test_metrics_of_a_split_are_those_of_scikit_learn_and_can_be_written() -> None:
    own, metrics = predictions_of(), plain()[1]
    expected = f1_score(own.gold_EC.argmax(1), own.predicted_EC.argmax(1), average="macro")
    assert metrics["test"]["primary"]["name"] == "macro_f1"
    assert metrics["test"]["primary"]["value"] == pytest.approx(expected)
    assert metrics["test"]["texts"] == 60
    assert set(metrics["test"]["per_label"]) == set(LABELS)
    assert json.loads(json.dumps(metrics)) == metrics


def test_metrics_hold_the_calibration_error_before_and_after_the_temperature() -> None:
    _, metrics = plain()
    errors = metrics["test"]["calibration_error"]
    own = predictions_of()
    right_E = (own.gold_EC & own.predicted_EC).any(1)
    assert errors["after"] == reliability(own.probability_EC.max(1), right_E)["error"]
    assert errors["before"] != errors["after"]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_calibration_can_be_undone(multi_label: bool, temperature: float) -> None:
    logits_EC = np.random.default_rng(0).normal(0, 3, (200, 5))
    calibrate = sigmoid if multi_label else softmax
    undone_EC = undo_calibration(calibrate(logits_EC, temperature), temperature, multi_label=multi_label)
    np.testing.assert_allclose(undone_EC, calibrate(logits_EC, 1.0), atol=1e-3)


def test_calibration_of_texts_with_several_labels_is_that_of_each_answer() -> None:
    own = predictions_of(multi_label=True)
    after = compare_calibration(own)["after"]
    assert sum(entry["count"] for entry in after["bins"]) == own.gold_EC.size
    assert after == reliability(own.probability_EC.reshape(-1), own.gold_EC.reshape(-1))


def test_texts_of_several_windows_are_scored_apart() -> None:
    own, row = predictions_of(), plain()[1]["test"]["long_texts"]
    long_E = own.windows_E > 1
    assert row["support"] == int(long_E.sum())
    gold_E, predicted_E = (side_EC[long_E].argmax(1) for side_EC in (own.gold_EC, own.predicted_EC))
    assert row["value"] == pytest.approx(f1_score(gold_E, predicted_E, average="macro"))
    assert made(both(windows_E=np.ones(60, np.int64)))[1]["test"]["long_texts"] is None


def test_slices_and_lengths_have_intervals_gaps_and_p_values() -> None:
    _, metrics = plain()
    for row in [*metrics["test"]["slices"]["source"].values(), *metrics["test"]["by_length"].values()]:
        assert set(row) == {"value", "low", "high", "support", "gap", "p_value"}
    assert set(metrics["test"]["slices"]["source"]) == {"mail", "chat"}
    assert sum(row["support"] for row in metrics["test"]["by_length"].values()) == 60
    assert list(metrics["test"]["by_length"]) == ["up to 50", "51 to 100", "101 to 200", "201 to 400"]


def test_confused_pairs_come_by_frequency_with_their_share_of_the_gold_label() -> None:
    gold_EC = np.eye(3, dtype=bool)[[0, 0, 0, 0, 1, 1, 2]]
    predicted_EC = np.eye(3, dtype=bool)[[0, 1, 1, 2, 0, 1, 2]]
    own = predictions_of(7, gold_EC=gold_EC, predicted_EC=predicted_EC)
    assert [tuple(row.values()) for row in count_confused(own)] == [
        ("bad", "good", 2, 0.5),
        ("bad", "so-so", 1, 0.25),
        ("good", "bad", 1, 0.5),
    ]


def test_curve_of_thresholds_counts_what_reaches_each() -> None:
    own = predictions_of(multi_label=True)
    for point in trace_thresholds(own, "good")[::7]:
        reached_E = own.probability_EC[:, 1].astype(np.float64) >= point["threshold"]
        assert point["recall"] == (reached_E & own.gold_EC[:, 1]).sum() / own.gold_EC[:, 1].sum()
        assert ("precision" in point) == reached_E.any()
        if reached_E.any():
            assert point["precision"] == (reached_E & own.gold_EC[:, 1]).sum() / reached_E.sum()
