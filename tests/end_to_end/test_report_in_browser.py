"""report.html as a browser shows it. Needs Debian's chromium."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from stages.tasks.token_classification.report.report import render
from tests.tasks.token_classification.test_report import mistake_of, report_of, split_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ATTACK = "<script>alert(1)</script>"
TYPES = ["LOC", "ORG", "PER", 'creative "work"', *(f"product-{number}" for number in range(36))]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


@dataclass
class Opened:
    """A page with all that it asked for, said or opened while it was used."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def choose(self, **chosen: str) -> None:
        for name, label in chosen.items():
            self.page.select_option(f"select[name={name}]", label=label)

    @property
    def shown(self) -> list[str]:
        """The heads of the sentences that are to be seen."""
        return [item.inner_text() for item in self.page.locator("#mistakes > li h3").all() if item.is_visible()]

    @property
    def count(self) -> str:
        return self.page.locator("output").inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


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


@pytest.fixture
def opened(browser: Browser, report_html: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The report in a context of its own, with the options that a test asks for as the fixture's parameter."""
    context = browser.new_context(**getattr(request, "param", {}))
    opened = Opened(context.new_page())
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("console", lambda message: opened.messages.append(message.text))
    opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))

    def dismiss(dialog: Any) -> None:
        opened.dialogs.append(dialog.message)
        dialog.dismiss()

    opened.page.on("dialog", dismiss)
    opened.page.goto(report_html.as_uri())
    yield opened
    context.close()


def visible(locators: Locator) -> bool:
    return locators.count() > 0 and all(locator.is_visible() for locator in locators.all())


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
    opened.choose(**chosen)
    assert [int(head.split("sentence ")[1].split(":")[0]) for head in opened.shown] == sentences
    assert opened.count == f"{len(sentences)} of 6 sentences"
    assert opened.page.locator("#none").is_visible() == (not sentences)


def test_words_are_sought_in_the_sentences(opened: Opened) -> None:
    opened.page.fill("input[name=text]", ATTACK.upper())
    assert [head.split(":")[0] for head in opened.shown] == ["test sentence 3"]
    opened.page.fill("input[name=text]", "Berlin")
    assert opened.page.locator("#none").inner_text() == "No sentence matches all filters."


def test_show_all_undoes_the_filters(opened: Opened) -> None:
    opened.choose(split="dev", kind="spurious")
    assert opened.count == "1 of 6 sentences"
    opened.page.get_by_role("button", name="Show all").click()
    opened.page.wait_for_function("document.querySelector('output').value === '6 of 6 sentences'")
    assert len(opened.shown) == 6


def test_page_asks_for_no_other_file_and_says_nothing_on_the_console(opened: Opened, report_html: Path) -> None:
    opened.choose(type="ORG")
    for summary in opened.page.locator("summary").all():
        summary.click()
    opened.page.wait_for_load_state("networkidle")
    assert opened.requests == [report_html.as_uri()]
    assert opened.messages == []


def test_script_in_a_sentence_is_shown_as_text_and_does_not_run(opened: Opened) -> None:
    opened.choose(kind="missed")
    assert ATTACK in opened.page.locator("#mistakes > li:visible").inner_text()
    assert opened.dialogs == []


def test_script_that_got_into_the_page_could_not_run(opened: Opened) -> None:
    opened.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}))"
    )
    assert opened.dialogs == []
    assert "Content Security Policy" in " ".join(opened.messages)


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True, ids=["no script"])
def test_without_javascript_all_is_readable_but_the_filter(opened: Opened) -> None:
    assert visible(
        opened.page.locator("h1, h2, .headline .value, .headline .bar, .stack, .confusion, svg, main > section")
    )
    assert visible(opened.page.locator("#mistakes > li"))
    assert len(opened.shown) == 6
    assert not opened.page.locator("form").is_visible()
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert visible(opened.page.locator("table, .warning"))


@pytest.mark.parametrize(
    "opened", [{"viewport": {"width": width, "height": 740}} for width in (360, 768)], indirect=True, ids=str
)
def test_page_does_not_scroll_sideways_on_a_narrow_screen(opened: Opened) -> None:
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("opened", "dark"),
    [({"color_scheme": "light"}, False), ({"color_scheme": "dark"}, True)],
    indirect=["opened"],
    ids=["light", "dark"],
)
def test_colours_follow_the_readers_scheme_and_text_stands_out(opened: Opened, dark: bool) -> None:
    background, text, mark, label = (
        luminance(opened.page.evaluate(f"getComputedStyle(document.querySelector('{element}')).{style}"))
        for element, style in (
            ("html", "backgroundColor"),
            ("body", "color"),
            ("#mistakes mark.wrong", "backgroundColor"),
            ("#mistakes mark.wrong b", "color"),
        )
    )
    assert (background < 0.05) == dark
    for one, other in ((background, text), (mark, text), (mark, label)):
        assert (max(one, other) + 0.05) / (min(one, other) + 0.05) > 4.5  # WCAG 2.2, 1.4.3


def luminance(colour: str) -> float:
    """The relative luminance, as WCAG 2.2 defines it, of `rgb(r, g, b)`."""
    channels = [int(channel) / 255 for channel in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
