"""The page and the plots of a classifier of texts."""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.reporting.evaluation import MAX_TEXT
from stages.reporting.tables import describe_left_out
from stages.tasks.text_classification.report import baselines
from stages.tasks.text_classification.report.plots import MAX_LABELS, write_plots
from stages.tasks.text_classification.report.report import TEMPLATE, render
from tests.pages import HOSTILE, Read
from tests.tasks.reports import drawn_plots, read_plot
from tests.tasks.text_classification.reports import both, made, plain, predictions_of


@cache
def full_of(string: str, *, multi_label: bool) -> Read:
    """A page in which every string that comes from the input is the same."""
    own = predictions_of(
        8,
        labels=(f"a{string}", f"b{string}"),
        multi_label=multi_label,
        texts=pa.array([string] * 8),
        pairs=pa.array([string] * 8),
        slices={string: pa.array([string] * 4 + ["other"] * 4).dictionary_encode()},
    )
    train = baselines.Train((pa.array(["a", "b"] * 8), pa.array(["c", "d"] * 8)), np.eye(2, dtype=bool)[[0, 1] * 8])
    report, _ = made({"test": own, "dev": own}, train)
    return Read(render(report | {"facts": [(string, string)]}))


@pytest.mark.parametrize("hostile", [*HOSTILE, "Donaudampfschiff" * 200], ids=range(len(HOSTILE) + 1))
@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several"])
def test_render_shows_every_string_as_text(hostile: str, multi_label: bool) -> None:
    page, expected = (full_of(string, multi_label=multi_label) for string in (hostile, "harmless"))
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
    first, second = plain(), made(both())
    assert render(first[0]) == render(second[0])
    assert json.dumps(first[1]) == json.dumps(second[1])
    for name, report in (("one", first[0]), ("other", second[0])):
        write_plots(tmp_path / name, report)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


@pytest.mark.parametrize("count", [1, 2, 20, 21, 150])
@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several"])
def test_page_stays_readable_with_any_number_of_labels(
    monkeypatch: pytest.MonkeyPatch, count: int, multi_label: bool
) -> None:
    monkeypatch.setattr(baselines, "MAX_CELLS", 0)  # of 150 labels the baseline would take ten seconds
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


def test_page_lists_the_most_confident_mistakes_of_both_splits_and_not_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("stages.tasks.text_classification.report.report", "stages.text_tasks.analysis"):
        monkeypatch.setattr(f"{module}.MAX_MISTAKES", 50)
    report, _ = made({"test": predictions_of(300), "dev": predictions_of(300, seed=5)})
    page = render(report)
    assert page.count("<li data-split") == 50
    assert "here are the first 50" in page
    confidences = [mistake["confidence"] for split in report["splits"].values() for mistake in split["mistakes"]]
    least = sorted(confidences, reverse=True)[49]
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
        page = render(plain(multi_label=multi_label)[0])
        captions = [part.split("</")[0:3] for tag in ("<caption>", "<figcaption>") for part in page.split(tag)[1:]]
        assert len(captions) > 15
        assert all('class="split">' in "</".join(caption) for caption in captions)


def test_plots_are_those_that_the_list_for_dvc_names(tmp_path: Path) -> None:
    write_plots(tmp_path / "plots", plain()[0])
    drawn = drawn_plots(TEMPLATE.with_name("plots.yaml"), tmp_path / "plots")
    assert drawn == {path.name for path in (tmp_path / "plots").iterdir()}


def test_plot_of_confusion_is_of_few_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MAX_CELLS", 0)  # likewise
    labels = tuple(f"label {number}" for number in range(60))
    write_plots(tmp_path / "plots", made(both(count=600, labels=labels))[0])
    rows = read_plot(tmp_path / "plots" / "test_confusion.csv")
    assert 0 < len({row[side] for row in rows for side in ("gold", "predicted")}) <= MAX_LABELS


def test_texts_left_out_are_counted_and_the_first_are_named() -> None:
    counts = {"train": {"dropped": 7}, "dev": {"texts": 3}, "test": {"dropped": 1}}
    named = {"train": [f"train.csv:{line}: the label is empty" for line in range(2, 9)]}
    ((title, value),) = describe_left_out(counts, named)
    assert title == "Texts left out"
    assert value == "8, for faults: train.csv:2, train.csv:3, train.csv:4, train.csv:5, train.csv:6, …"
    assert describe_left_out({"dev": {"texts": 3}}, {}) == []
