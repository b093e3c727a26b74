"""The reports of text tasks, whose frame is the same, as a browser shows them. Needs Debian's chromium."""

from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import Browser, expect

from stages.tasks.regression.report.report import render as render_numbers
from stages.tasks.text_classification.report.report import render
from tests.browser import ATTACK, browser, needs_chromium, open_page
from tests.tasks.regression import reports as numbers
from tests.tasks.text_classification import reports as labels

__all__ = ["browser"]  # a fixture

pytestmark = needs_chromium

NAMES = ("LOC", ATTACK, "x" * 120, "\u202e\u05de\u05e7\u05d5\u05dd", *(f"a_long_label_{n}" for n in range(36)))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of one label a text, of several, and of numbers, with texts that would be scripts."""
    folder = tmp_path_factory.mktemp("report")
    texts = pa.array([f"{ATTACK} {'Word ' * number}{'x' * 300}" for number in range(80)])
    slices = {ATTACK: pa.array([NAMES[number % 4] for number in range(80)]).dictionary_encode()}
    several = {
        "one": render(labels.made(labels.both(count=80, labels=NAMES, texts=texts, slices=slices))[0]),
        "several": render(labels.made(labels.both(count=80, labels=NAMES, texts=texts, multi_label=True))[0]),
        "numbers": render_numbers(numbers.made(numbers.both(count=80, targets=NAMES[:3], texts=texts))[0]),
    }
    for name, page in several.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in several}


@pytest.mark.parametrize("name", ["one", "several", "numbers"])
def test_page_asks_for_no_other_file_runs_no_script_of_a_text_and_fits_any_screen(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    with open_page(browser, pages[name]) as opened:
        opened.unfold()
        for width in (360, 768, 1280):
            opened.page.set_viewport_size({"width": width, "height": 740})
            assert opened.fits_the_screen, width
        opened.page.wait_for_load_state("networkidle")
        assert ATTACK in opened.page.locator("#mistakes").inner_text()
        whole = opened.shown.count()
        opened.page.fill("input[name=text]", "WORD " * 40)  # without regard to case
        assert 0 < opened.shown.count() < whole
        opened.page.fill("input[name=text]", "no text has these words")
        assert opened.shown.count() == 0
        assert opened.page.locator("#none").is_visible()
        assert (opened.requests, opened.messages, opened.dialogs) == ([pages[name].as_uri()], [], [])


@pytest.mark.parametrize("name", ["one", "several", "numbers"])
def test_without_javascript_all_is_readable_but_the_filter(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with open_page(browser, pages[name], java_script_enabled=False) as opened:
        for elements in ("h1, h2", ".headline .value", "svg", "main > section", "#mistakes > li"):
            assert opened.shows(elements), elements
        assert not opened.page.locator("form").is_visible()


def test_filters_show_the_texts_that_fit_all_of_them_and_tell_how_many(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with open_page(browser, pages["one"]) as opened:
        page, whole = opened.page, opened.shown.count()
        assert opened.count == f"{whole} of {whole} texts"
        page.select_option("select[name=split]", label="dev")
        in_dev = opened.shown.count()
        assert 0 < in_dev < whole
        missed = page.locator("#mistakes > li:visible .label.missed")
        gold = missed.first.inner_text()
        page.select_option("select[name=gold]", label=gold)
        found = missed.all_inner_texts()
        assert 0 < len(found) <= in_dev
        assert set(found) == {gold}
        assert opened.count == f"{len(found)} of {whole} texts"
        page.get_by_role("button", name="Show all").click()
        expect(page.locator("output")).to_have_text(f"{whole} of {whole} texts")


def test_head_of_a_table_sorts_by_its_column(browser: Browser, pages: dict[str, Path]) -> None:
    with open_page(browser, pages["one"]) as opened:
        table = opened.page.locator("#labels ~ .splits table").first

        def column(place: int) -> list[float]:
            return [float(text) for text in table.locator(f"tbody td:nth-child({place})").all_inner_texts()]

        table.get_by_role("button", name="Recall").click()
        assert column(4) == sorted(column(4))
        table.get_by_role("button", name="Recall").click()
        assert column(4) == sorted(column(4), reverse=True)
        table.get_by_role("button", name="Label").click()
        heads = table.locator("tbody th").all_text_contents()
        assert heads.index("a_long_label_2") < heads.index("a_long_label_10")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_readers_scheme_and_text_stands_out(
    browser: Browser, pages: dict[str, Path], scheme: str
) -> None:
    with open_page(browser, pages["one"], color_scheme=scheme) as opened:
        background = ("html", "backgroundColor")
        assert (opened.luminance(*background) < 0.05) == (scheme == "dark")
        for element in ("body", ".muted"):
            assert opened.contrast(background, (element, "color")) > 4.5  # WCAG 2.2, 1.4.3
