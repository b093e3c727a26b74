"""The report of a classifier of texts: its metrics, its page, its plots."""

import csv
import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from sklearn.metrics import f1_score

from stages.reporting.evaluation import MAX_MISTAKES, MAX_TEXT, Report
from stages.reporting.tables import describe_left_out
from stages.statistics.calibration import reliability, sigmoid, softmax
from stages.tasks.text_classification.report import baselines
from stages.tasks.text_classification.report.analysis import count_confused, report_on
from stages.tasks.text_classification.report.confidence import (
    compare_calibration,
    trace_thresholds,
    undo_calibration,
)
from stages.tasks.text_classification.report.plots import MAX_LABELS, write_plots
from stages.tasks.text_classification.report.report import TEMPLATE, render
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import predict_one, predict_several
from stages.training.evaluation import describe_baselines
from stages.training.frozen_encoder import FrozenVectors

TASK = {"name": "text_classification", "primary": "macro_f1", "multi_label": False, "thresholds": "per_label"}
LABELS = ("bad", "good", "so-so")
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "it's & <b>bold</b> &amp; {{ 7 * 7 }}",
    "\u202e\u05de\u05e7\u05d5\u05dd",
    "Donaudampfschiff" * 200,
]


def predictions_of(
    count: int = 60, *, labels: tuple[str, ...] = LABELS, multi_label: bool = False, seed: int = 1, **fields: Any
) -> Predictions:
    """Predictions that are mostly right, every tenth text in two windows."""
    generator = np.random.default_rng(seed)
    gold_EC = np.zeros((count, len(labels)), dtype=bool)
    gold_EC[np.arange(count), np.arange(count) % len(labels)] = True
    if multi_label:
        gold_EC |= generator.random(gold_EC.shape) < 0.2
    logits_EC = generator.normal(0, 2, gold_EC.shape) + 4 * gold_EC - (2 if multi_label else 0)
    probability_EC = (sigmoid if multi_label else softmax)(logits_EC, 2.0)
    thresholds = (0.5,) * len(labels) if multi_label else None
    predicted_EC = predict_several(probability_EC, thresholds) if thresholds else predict_one(probability_EC)
    texts = [f"text {number} " + "word " * (number % 50) for number in range(count)]
    own = {
        "texts": pa.array(texts, pa.string()),
        "pairs": None,
        "labels": labels,
        "gold_EC": gold_EC,
        "probability_EC": probability_EC,
        "predicted_EC": predicted_EC,
        "windows_E": 1 + (np.arange(count) % 10 == 0),
        "slices": {"source": pa.array([("mail", "chat")[number % 2] for number in range(count)]).dictionary_encode()},
        "thresholds": thresholds,
        "temperature": 2.0,
    }
    return Predictions(**own | fields)


def train_of(labels: tuple[str, ...] = LABELS) -> baselines.Train:
    count = max(30, 3 * len(labels))
    gold_EC = np.zeros((count, len(labels)), dtype=bool)
    gold_EC[np.arange(count), np.arange(count) % len(labels)] = True
    texts = pa.array([f"this is {labels[number % len(labels)]}" for number in range(count)])
    return baselines.Train((texts, None), gold_EC)


def vectors_of(train: baselines.Train, splits: dict[str, Predictions]) -> FrozenVectors:
    """Vectors that tell the gold labels, of every second text of train."""
    chosen_M = np.arange(0, len(train.gold_EC), 2)
    return FrozenVectors(
        train_MF=train.gold_EC[chosen_M].astype(np.float32),
        chosen_M=chosen_M,
        splits={split: own.gold_EC.astype(np.float32) for split, own in splits.items()},
        seconds=100.0,
    )


def made(
    splits: dict[str, Predictions],
    train: baselines.Train | None = None,
    vectors: FrozenVectors | str = "it would take minutes",
) -> tuple[Report, dict[str, Any]]:
    own = next(iter(splits.values()))
    task = TASK | {"multi_label": own.is_multi_label}
    fitted = baselines.fit_baselines(train or train_of(own.labels), splits, vectors)
    report, metrics = report_on(splits, fitted, task)
    steps = [{"step": step, "loss": 2.0 / step, "learning_rate": 1e-5 * step} for step in range(1, 5)]
    epochs = [{"epoch": 1, "step": 2, "dev_score": 0.4}, {"epoch": 2, "step": 4, "dev_score": 0.6}]
    learning = {"steps": steps, "epochs": epochs, "best_epoch": 2}
    return report | {"facts": [("Seed", "13")], "learning": learning}, metrics


def both(**options: Any) -> dict[str, Predictions]:
    return {"test": predictions_of(**options), "dev": predictions_of(seed=2, **options)}


class Read(HTMLParser):
    """The elements, attributes and texts of a page as a browser parses it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def test_metrics_of_a_split_are_those_of_scikit_learn_and_can_be_written() -> None:
    splits = both()
    _, metrics = made(splits)
    own = splits["test"]
    expected = f1_score(own.gold_EC.argmax(1), own.predicted_EC.argmax(1), average="macro")
    assert metrics["test"]["primary"]["name"] == "macro_f1"
    assert metrics["test"]["primary"]["value"] == pytest.approx(expected)
    assert metrics["test"]["texts"] == 60
    assert set(metrics["test"]["per_label"]) == set(LABELS)
    assert json.loads(json.dumps(metrics)) == metrics


def test_metrics_hold_the_calibration_error_before_and_after_the_temperature() -> None:
    _, metrics = made(both())
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
    splits = both()
    _, metrics = made(splits)
    own, row = splits["test"], metrics["test"]["long_texts"]
    long_E = own.windows_E > 1
    assert row["support"] == int(long_E.sum())
    gold_E, predicted_E = (side_EC[long_E].argmax(1) for side_EC in (own.gold_EC, own.predicted_EC))
    assert row["value"] == pytest.approx(f1_score(gold_E, predicted_E, average="macro"))
    assert made(both(windows_E=np.ones(60, np.int64)))[1]["test"]["long_texts"] is None


def test_slices_and_lengths_have_intervals_gaps_and_p_values() -> None:
    _, metrics = made(both())
    for row in [*metrics["test"]["slices"]["source"].values(), *metrics["test"]["by_length"].values()]:
        assert set(row) == {"value", "low", "high", "support", "gap", "p_value"}
    assert set(metrics["test"]["slices"]["source"]) == {"mail", "chat"}
    assert sum(row["support"] for row in metrics["test"]["by_length"].values()) == 60
    assert list(metrics["test"]["by_length"]) == ["up to 50", "51 to 100", "101 to 200", "201 to 400"]


def test_gain_over_a_baseline_is_the_difference_of_the_scores_within_its_interval() -> None:
    _, metrics = made(both())
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


def test_time_of_a_baseline_is_in_the_log_and_in_no_output(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several"])
def test_render_shows_every_string_as_text(hostile: str, multi_label: bool) -> None:
    def full_of(string: str) -> Read:
        labels = (f"a{string}", f"b{string}")
        own = predictions_of(
            8,
            labels=labels,
            multi_label=multi_label,
            texts=pa.array([string] * 8),
            pairs=pa.array([string] * 8),
            slices={string: pa.array([string] * 4 + ["other"] * 4).dictionary_encode()},
        )
        train = baselines.Train((pa.array(["a", "b"] * 8), pa.array(["c", "d"] * 8)), np.eye(2, dtype=bool)[[0, 1] * 8])
        report, _ = made({"test": own, "dev": own}, train)
        return Read(render(report | {"facts": [(string, string)]}))

    page, expected = full_of(hostile), full_of("harmless")
    assert page.elements == expected.elements
    assert page.attributes == expected.attributes
    assert hostile[:MAX_TEXT] in "".join(page.texts)


def test_render_shows_pictures_of_control_characters() -> None:
    page = render(made(both(texts=pa.array(["a\x00b\x1b[31m\x7f"] * 60)))[0])
    assert "a\u2400b\u241b[31m\u2421" in page
    assert not set(map(chr, range(32))) - {"\t", "\n", "\r"} & set(page)


def test_render_shortens_a_long_text_and_says_by_how_much() -> None:
    page = render(made(both(texts=pa.array(["x" * (MAX_TEXT + 1234)] * 60)))[0])
    assert "x" * MAX_TEXT + " … (1,234 more characters)" in page
    assert "x" * (MAX_TEXT + 1) not in page


def test_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = made(both()), made(both())
    assert render(first[0]) == render(second[0])
    assert json.dumps(first[1]) == json.dumps(second[1])
    for name, report in (("one", first[0]), ("other", second[0])):
        write_plots(tmp_path / name, report)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


@pytest.mark.parametrize("count", [1, 2, 20, 21, 150])
@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several"])
def test_page_stays_readable_with_any_number_of_labels(count: int, multi_label: bool) -> None:
    labels = tuple(f"label_{number:03}" for number in range(count))
    report, _ = made(both(count=300, labels=labels, multi_label=multi_label))
    page = Read(render(report))
    assert (report["splits"]["test"]["matrix"] is None) == (multi_label or count > 20)
    assert f"{count} label" in page.text
    assert "nan" not in page.text.replace("nan label", "")
    scores = [row["f1"] for row in report["splits"]["test"]["scores"]["per_label"].values()]
    shown = page.text.split("lowest F1 first")[1].split("Confusion of labels")[0]
    places = [shown.index(label) for label in labels if label in report["splits"]["test"]["scores"]["per_label"]]
    by_place = [score for _, score in sorted(zip(places, scores, strict=True))]
    assert all(before <= after for before, after in pairwise(by_place))


def test_page_lists_the_most_confident_mistakes_of_both_splits_and_at_most_500() -> None:
    report, _ = made({"test": predictions_of(3000), "dev": predictions_of(3000, seed=5)})
    page = render(report)
    assert page.count("<li data-split") == MAX_MISTAKES
    assert "here are the first 500" in page
    confidences = [mistake["confidence"] for split in report["splits"].values() for mistake in split["mistakes"]]
    least = sorted(confidences, reverse=True)[MAX_MISTAKES - 1]
    assert {1, 2} == {int(part[0]) for part in page.split('<li data-split="')[1:]}
    assert least <= max(confidences)


def test_page_without_a_mistake_has_no_filter() -> None:
    own = predictions_of(6, predicted_EC=predictions_of(6).gold_EC)
    page = Read(render(made({"test": own, "dev": own})[0]))
    assert "form" not in page.elements
    assert "No label was taken for another." in page.text


def test_page_without_slices_says_how_to_get_them() -> None:
    assert "data.slices" in Read(render(made(both(slices={}))[0])).text


def test_page_names_the_split_in_every_figure_and_table() -> None:
    for multi_label in (False, True):
        page = render(made(both(multi_label=multi_label))[0])
        captions = [part.split("</")[0:3] for tag in ("<caption>", "<figcaption>") for part in page.split(tag)[1:]]
        assert len(captions) > 15
        assert all('class="split">' in "</".join(caption) for caption in captions)


def test_plots_are_those_that_the_list_for_dvc_names(tmp_path: Path) -> None:
    write_plots(tmp_path / "plots", made(both())[0])
    listed = yaml.safe_load(TEMPLATE.with_name("plots.yaml").read_text(encoding="utf-8"))
    assert check_plots(listed, tmp_path) == {path.name for path in (tmp_path / "plots").iterdir()}


def check_plots(listed: list[dict[str, Any]], folder: Path) -> set[str]:
    """The files that plots.yaml names, each with the columns that it draws."""
    names = set()
    for entry in listed:
        ((_, plot),) = entry.items()
        for path, column in plot["y"].items():
            assert path.startswith("data/report/plots/")
            with (folder / "plots" / Path(path).name).open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            assert rows
            assert {plot["x"], column} <= set(rows[0])
            names.add(Path(path).name)
    return names


def test_plot_of_confusion_is_of_few_labels(tmp_path: Path) -> None:
    labels = tuple(f"label {number}" for number in range(60))
    write_plots(tmp_path / "plots", made(both(count=600, labels=labels))[0])
    with (tmp_path / "plots" / "test_confusion.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert 0 < len({row[side] for row in rows for side in ("gold", "predicted")}) <= MAX_LABELS


def test_texts_left_out_are_counted_and_the_first_are_named() -> None:
    counts = {"train": {"dropped": 7}, "dev": {"texts": 3}, "test": {"dropped": 1}}
    named = {"train": [f"train.csv:{line}: the label is empty" for line in range(2, 9)]}
    ((title, value),) = describe_left_out(counts, named)
    assert title == "Texts left out"
    assert value == "8, for faults: train.csv:2, train.csv:3, train.csv:4, train.csv:5, train.csv:6, …"
    assert describe_left_out({"dev": {"texts": 3}}, {}) == []
