"""report.html of a model of entities as a browser shows it. Needs Debian's chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from stages.tasks.token_classification.report.report import render
from tests.browser import ATTACK, Opened, browser, needs_chromium, open_page
from tests.tasks.token_classification.test_report import mistake_of, report_of, split_of

__all__ = ["browser"]  # a fixture

pytestmark = needs_chromium

TYPES = ["LOC", "ORG", "PER", 'creative "work"', *(f"product-{number}" for number in range(36))]


@pytest.fixture(scope="module")
def report_html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sentences of test and two of dev, forty types, a word that would be a script."""
    attack = mistake_of(3, kind="missed", gold="ORG")
    attack["words"][0] = ATTACK
    test = [
        mistake_of(1),
        mistake_of(2, gold="ORG"),
        attack,
        mistake_of(4, kind="boundary", gold='creative "work"', predicted='creative "work"'),
    ]
    dev = [mistake_of(5), mistake_of(6, kind="spurious")]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(report_of({"test": split_of(TYPES, test), "dev": split_of(TYPES, dev)})), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shared(browser: Browser, report_html: Path) -> Iterator[Opened]:
    """The report in a browser, for tests that filter its sentences."""
    with open_page(browser, report_html) as opened:
        yield opened


@pytest.fixture
def opened(shared: Opened) -> Opened:
    """The report with all its sentences shown."""
    shared.page.locator("form").evaluate("form => form.reset()")
    expect(shared.page.locator("output")).to_have_text("6 of 6 sentences")
    return shared


def choose(opened: Opened, **chosen: str) -> None:
    for name, label in chosen.items():
        opened.page.select_option(f"select[name={name}]", label=label)


def heads(opened: Opened) -> list[str]:
    """The heads of the sentences that are to be seen."""
    return opened.shown.locator("h3").all_inner_texts()


@pytest.mark.parametrize(
    ("chosen", "sentences"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"split": "dev"}, [5, 6]),
        ({"kind": "wrong type"}, [1, 2, 5]),
        ({"type": "ORG"}, [2, 3]),
        ({"type": 'creative "work"'}, [4]),
        ({"split": "test", "kind": "wrong type"}, [1, 2]),
        ({"split": "test", "kind": "wrong type", "type": "ORG"}, [2]),
        ({"split": "dev", "kind": "missed"}, []),
        ({"type": "product-1"}, []),
    ],
    ids=str,
)
def test_filters_show_the_sentences_that_fit_all_of_them_and_tell_how_many(
    opened: Opened, chosen: dict[str, str], sentences: list[int]
) -> None:
    choose(opened, **chosen)
    assert [int(head.split("sentence ")[1].split(":")[0]) for head in heads(opened)] == sentences
    assert opened.count == f"{len(sentences)} of 6 sentences"
    assert opened.page.locator("#none").is_visible() == (not sentences)


def test_words_are_sought_in_the_sentences(opened: Opened) -> None:
    opened.page.fill("input[name=text]", ATTACK.upper())
    assert [head.split(":")[0] for head in heads(opened)] == ["test sentence 3"]
    opened.page.fill("input[name=text]", "Berlin")
    assert opened.page.locator("#none").inner_text() == "No sentence matches all filters."


def test_show_all_undoes_the_filters(opened: Opened) -> None:
    choose(opened, split="dev", kind="spurious")
    assert opened.count == "1 of 6 sentences"
    opened.page.get_by_role("button", name="Show all").click()
    expect(opened.page.locator("output")).to_have_text("6 of 6 sentences")
    assert len(heads(opened)) == 6


def test_script_in_a_sentence_is_shown_as_text_and_does_not_run(opened: Opened) -> None:
    choose(opened, kind="missed")
    assert ATTACK in opened.shown.inner_text()
    assert opened.dialogs == []


def test_page_asks_for_no_other_file_says_nothing_on_the_console_and_fits_any_screen(
    browser: Browser, report_html: Path
) -> None:
    with open_page(browser, report_html) as opened:
        choose(opened, type="ORG")
        opened.unfold()
        opened.page.wait_for_load_state("networkidle")
        assert (opened.requests, opened.messages) == ([report_html.as_uri()], [])
        for width in (360, 768, 1280):
            opened.page.set_viewport_size({"width": width, "height": 740})
            assert opened.fits_the_screen, width


def test_script_that_got_into_the_page_could_not_run(browser: Browser, report_html: Path) -> None:
    with open_page(browser, report_html) as opened:
        opened.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}))"
        )
        assert opened.dialogs == []
        assert "Content Security Policy" in " ".join(opened.messages)


def test_without_javascript_all_is_readable_but_the_filter(browser: Browser, report_html: Path) -> None:
    with open_page(browser, report_html, java_script_enabled=False) as opened:
        for elements in (
            "h1, h2", ".headline .value", ".headline .bar", ".stack", ".confusion", "svg", "main > section",
            "#mistakes > li",
        ):  # fmt: skip
            assert opened.shows(elements), elements
        assert len(heads(opened)) == 6
        assert not opened.page.locator("form").is_visible()
        for summary in opened.page.locator("summary").all():
            summary.click()
        assert opened.shows("table, .warning")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_readers_scheme_and_text_stands_out(
    browser: Browser, report_html: Path, scheme: str
) -> None:
    with open_page(browser, report_html, color_scheme=scheme) as opened:
        background, mark = ("html", "backgroundColor"), ("#mistakes mark.wrong", "backgroundColor")
        assert (opened.luminance(*background) < 0.05) == (scheme == "dark")
        text, label = ("body", "color"), ("#mistakes mark.wrong b", "color")
        for pair in ((background, text), (mark, text), (mark, label)):
            assert opened.contrast(*pair) > 4.5  # WCAG 2.2, 1.4.3
