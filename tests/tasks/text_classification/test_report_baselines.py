"""The baselines in the report of a classifier of texts, and what the model gains over them."""

import json

import pyarrow as pa
import pytest

from stages.tasks.text_classification.report import baselines
from stages.tasks.text_classification.report.report import render
from stages.training.evaluation import describe_baselines
from tests.pages import Read
from tests.tasks.text_classification.reports import LABELS, both, made, plain, train_of, vectors_of


def test_gain_over_a_baseline_is_the_difference_of_the_scores_within_its_interval() -> None:
    _, metrics = plain()
    for row in metrics["test"]["baselines"].values():
        assert row["gain"] == pytest.approx(metrics["test"]["primary"]["value"] - row["value"])
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
    assert list(metrics["test"]["baselines"]) == ["majority", "tfidf"]


def test_baseline_of_words_finds_labels_that_words_tell() -> None:
    texts = pa.array([f"this is {LABELS[number % 3]}" for number in range(60)])
    _, metrics = made(both(texts=texts))
    assert metrics["test"]["baselines"]["tfidf"]["value"] == 1.0
    assert metrics["test"]["baselines"]["majority"]["value"] < 0.4


def test_baseline_of_words_is_left_out_with_a_remark_if_it_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MAX_CELLS", 89)  # of 30 texts by 3 labels
    report, metrics = made(both())
    assert list(metrics["test"]["baselines"]) == ["majority"]
    assert report["remarks"] == [
        "No baseline of TF-IDF and logistic regression: 90 texts times labels are more than 89.",
        "No baseline of the encoder without fine-tuning and logistic regression: it would take minutes.",
    ]
    for remark in report["remarks"]:
        assert remark in Read(render(report)).text
    monkeypatch.setattr(baselines, "MAX_CELLS", 90)
    assert len(made(both())[0]["remarks"]) == 1


@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several"])
def test_baseline_of_the_encoder_tells_what_its_vectors_tell_and_on_how_many_texts_it_was_fitted(
    multi_label: bool,
) -> None:
    splits, train = both(multi_label=multi_label), train_of()
    report, metrics = made(splits, train, vectors_of(train, splits))
    row = metrics["test"]["baselines"]["frozen_encoder"]
    assert row["value"] == 1.0
    assert row["train_texts"] == 15
    assert report["remarks"] == []
    page = Read(render(report)).text
    assert "the encoder without fine-tuning and logistic regression fitted on 15 of 30 texts" in page
    assert (
        "On test the model is not better, beyond chance, than the encoder without fine-tuning and logistic regression."
        in page
    )


def test_time_of_a_baseline_is_in_the_log_and_in_no_output() -> None:
    splits, train = both(), train_of()
    fitted = baselines.fit_baselines(train, splits, vectors_of(train, splits))
    assert fitted.seconds["frozen_encoder"] > 100
    report, metrics = made(splits, train, vectors_of(train, splits))
    (line,) = [
        line
        for line in describe_baselines(fitted, baselines.NAMES, metrics)
        if "(100." in line and "dev 1.0000" in line
    ]
    assert "fitted on 15 texts" in line
    assert "seconds" not in json.dumps([report, metrics])


def test_pairs_are_fitted_as_pairs() -> None:
    pairs = pa.array([f"answer {number}" for number in range(60)])
    train = train_of()
    train = baselines.Train((train.texts[0], pa.array(["answer"] * 30)), train.gold_EC)
    report, metrics = made(both(pairs=pairs), train)
    assert "tfidf" in metrics["test"]["baselines"]
    assert "answer" in Read(render(report)).text
