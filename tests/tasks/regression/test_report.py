"""The report of a model of numbers: its metrics, its page, its plots."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from stages.reporting.axes import format_number
from stages.tasks.regression.report.evaluation import describe_scores
from stages.tasks.regression.report.plots import write_plots
from stages.tasks.regression.report.report import TEMPLATE, render
from tests.pages import HOSTILE, Read
from tests.tasks.regression.reports import both, made, plain, predictions_of
from tests.tasks.reports import drawn_plots


def test_metrics_of_a_split_can_be_written_and_hold_each_target() -> None:
    splits = both(targets=("calm", "joy"))
    _, metrics = made(splits)
    own, row = splits["test"], metrics["test"]["per_target"]["joy"]
    assert row["rmse"] == pytest.approx(root_mean_squared_error(own.gold_ED[:, 1], own.predicted_ED[:, 1]))
    assert row["mae"] == pytest.approx(mean_absolute_error(own.gold_ED[:, 1], own.predicted_ED[:, 1]))
    residual = metrics["test"]["residual"]["joy"]
    assert residual["mean"] == pytest.approx((own.predicted_ED - own.gold_ED)[:, 1].mean())
    assert json.loads(json.dumps(metrics)) == metrics


@pytest.mark.parametrize("primary", ["pearson", "spearman", "r2", "rmse", "mae"])
def test_gain_over_a_baseline_is_positive_where_the_model_is_better(primary: str) -> None:
    report, metrics = made(both(), primary=primary)
    assert list(metrics["test"]["baselines"]) == ["mean", "tfidf", "frozen_encoder"]
    for name, row in metrics["test"]["baselines"].items():
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
        assert (row["gain"] < 0) == (name == "frozen_encoder")  # whose vectors are the gold numbers
    assert metrics["test"]["primary"]["name"] == primary
    assert "nan" not in Read(render(report)).text


def test_baseline_of_words_is_left_out_with_a_remark_if_it_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.text_tasks.baselines.MAX_CHARACTERS", 100)
    report, metrics = made(both())
    assert list(metrics["test"]["baselines"]) == ["mean", "frozen_encoder"]
    (remark,) = report["remarks"]
    assert remark in Read(render(report)).text
    assert "characters are more than 100" in remark


def test_texts_of_several_windows_are_scored_apart() -> None:
    assert plain()[1]["test"]["long_texts"]["support"] == 6
    assert made(both(windows_E=np.ones(60, np.int64)))[1]["test"]["long_texts"] is None


def test_residuals_are_counted_once_each_and_their_lengths_too() -> None:
    own, (report, _) = predictions_of(), plain()
    found = report["splits"]["test"]["targets"]["calm"]
    assert sum(row["count"] for row in found["bins"]) == 60
    residual_E = (own.predicted_ED - own.gold_ED)[:, 0]
    for row in found["bins"]:
        assert row["count"] <= ((residual_E >= row["low"]) & (residual_E <= row["high"])).sum()
    assert sum(row["texts"] for row in found["by_length"]) == 60
    weighted = sum(row["mean"] * row["texts"] for row in found["by_length"]) / 60
    assert weighted == pytest.approx(residual_E.mean())


def test_scatter_plot_has_a_point_for_each_text_but_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(plain()[0]["splits"]["test"]["targets"]["calm"]["points"]) == 60
    monkeypatch.setattr("stages.tasks.regression.report.analysis.MAX_POINTS", 40)
    report, _ = made(both())
    assert len(report["splits"]["test"]["targets"]["calm"]["points"]) == 40
    assert "of 40 that are evenly spaced" in Read(render(report)).text


@cache
def full_of(string: str) -> Read:
    """A page in which every string that comes from the input is the same."""
    own = predictions_of(
        8,
        targets=(f"a{string}", f"b{string}"),
        texts=pa.array([string] * 8),
        pairs=pa.array([string] * 8),
        slices={string: pa.array([string] * 4 + ["other"] * 4).dictionary_encode()},
    )
    report, _ = made({"test": own, "dev": own}, unit=string)
    return Read(render(report | {"facts": [(string, string)]}))


@pytest.mark.parametrize("hostile", [*HOSTILE, "Donaudampfschiff" * 90], ids=range(len(HOSTILE) + 1))
def test_render_shows_every_string_as_text(hostile: str) -> None:
    page, expected = full_of(hostile), full_of("harmless")
    assert page.elements == expected.elements
    assert page.attributes == expected.attributes
    assert hostile in "".join(page.texts)


def test_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = plain(), made(both())
    assert render(first[0]) == render(second[0])
    assert json.dumps(first[1]) == json.dumps(second[1])
    for name, report in (("one", first[0]), ("other", second[0])):
        write_plots(tmp_path / name, report)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("value", "scale", "shown"),
    [
        (1.79512, None, "1.795"),
        (250_000.0, None, "250,000"),
        (4_193_341_252.0, None, "4.193e+09"),
        (-0.00012345, None, "\u22120.0001234"),
        (9.0, None, "9"),
        (0.0, None, "0"),
        (-0.05018, 1.795, "\u22120.05"),
        (-0.0005791, 1.6, "0.00"),
        (123.456, 17.0, "123.5"),
        (1e-12, 1e-12, "1.00e\u221212"),
    ],
)
def test_number_has_the_digits_that_matter(value: float, scale: float | None, shown: str) -> None:
    assert format_number(value, scale) == shown


def test_numbers_of_any_size_are_readable() -> None:
    own = predictions_of()
    large = {"gold_ED": own.gold_ED * 1e9, "predicted_ED": own.predicted_ED * 1e9}
    text = Read(render(made(both(**large), primary="rmse")[0])).text
    assert "e+09" in text
    assert "000000." not in text


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_page_of_a_constant_target_renders(value: float) -> None:
    numbers = np.full((60, 1), value)
    text = Read(render(made(both(gold_ED=numbers, predicted_ED=numbers))[0])).text
    assert "nan" not in text


def test_page_lists_the_largest_errors_first_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("stages.tasks.regression.report.report", "stages.text_tasks.analysis"):
        monkeypatch.setattr(f"{module}.MAX_MISTAKES", 20)
    report, _ = made({"test": predictions_of(), "dev": predictions_of(seed=5)})
    page = render(report)
    assert page.count("<li data-split") == 20
    listed = [entry for split in report["splits"].values() for entry in split["mistakes"]]
    worst = max(listed, key=lambda entry: entry["confidence"])
    assert f"text {worst['example']:,}:" in page.split('<li data-split="')[1]


def test_plots_are_those_that_the_list_for_dvc_names(tmp_path: Path) -> None:
    write_plots(tmp_path / "plots", plain()[0])
    drawn = drawn_plots(TEMPLATE.with_name("plots.yaml"), tmp_path / "plots")
    assert drawn == {path.name for path in (tmp_path / "plots").iterdir()}


@pytest.mark.parametrize(("primary", "score"), [("rmse", 0.4), ("pearson", -0.4)])
def test_errors_on_dev_are_shown_as_they_are(primary: str, score: float) -> None:
    learning = {"steps": [], "epochs": [{"epoch": 1, "step": 2, "dev_score": -0.4}], "best_epoch": 1}
    described = describe_scores(learning, primary)
    assert described["epochs"] == [{"epoch": 1, "step": 2, "dev_score": score}]
    assert learning["epochs"][0]["dev_score"] == -0.4
