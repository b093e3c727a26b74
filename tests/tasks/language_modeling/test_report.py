"""The report of a language model: its page and its plots."""

from pathlib import Path

import numpy as np
import pytest

from stages.tasks.language_modeling.report.analysis import analyze
from stages.tasks.language_modeling.report.plots import write_plots
from stages.tasks.language_modeling.report.report import TEMPLATE, render
from tests.pages import HOSTILE, Read
from tests.tasks.language_modeling.reports import COUNTS, report_of, windows_of
from tests.tasks.reports import drawn_plots


def test_page_shows_scores_frequencies_and_words() -> None:
    own = windows_of()
    page = render(report_of(test=own, dev=windows_of(seed=2)))
    assert page == render(report_of(test=own, dev=windows_of(seed=2)))
    text = Read(page).text
    for words in ("Nats per token", "20 documents", "Pseudo-perplexity", "1,000 or more", "no word 1", "3 nats"):
        assert words in text
    assert "nan" not in text


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_render_shows_every_string_as_text(hostile: str) -> None:
    page, expected = (Read(render(report_of(test=windows_of(word=word)))) for word in (hostile, "harmless"))
    assert page.elements == expected.elements
    assert page.attributes == expected.attributes
    assert hostile in "".join(page.texts)


def test_surprise_by_frequency_is_that_of_the_tokens_in_each_band() -> None:
    own = windows_of()
    found = analyze(own, COUNTS)
    frequent_L = COUNTS[own.gold_L] >= 1000
    assert found["by_frequency"]["1,000 or more"]["value"] == pytest.approx(own.nats_L[frequent_L].mean())
    assert found["by_frequency"]["0"]["support"] == 0
    shares = (COUNTS + 1) / (COUNTS + 1).sum()
    assert found["unigram"] == pytest.approx(-np.log(shares[own.gold_L]).mean())


def test_every_plot_that_dvc_draws_has_its_table(tmp_path: Path) -> None:
    write_plots(tmp_path / "plots", report_of(test=windows_of(), dev=windows_of(seed=2)))
    drawn = drawn_plots(TEMPLATE.with_name("plots.yaml"), tmp_path / "plots")
    assert drawn == {path.name for path in (tmp_path / "plots").iterdir()}
