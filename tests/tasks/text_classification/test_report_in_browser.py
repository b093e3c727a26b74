"""The reports of text tasks, whose frame is the same, as a browser shows them. Needs Debian's chromium."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from stages.tasks.regression.report.report import render as render_numbers
from stages.tasks.text_classification.report.report import render
from tests.tasks.regression import test_report as numbers
from tests.tasks.text_classification import test_report as labels

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ATTACK = "<script>alert(1)</script>"
NAMES = ("LOC", ATTACK, "x" * 120, "\u202e\u05de\u05e7\u05d5\u05dd", *(f"a_long_label_{n}" for n in range(36)))

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


@dataclass
class Opened:
    """A page with all that it asked for, said or opened while it was used."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def shown(self) -> int:
        return self.page.locator("#mistakes > li:visible").count()

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


@pytest.fixture(params=["one", "several", "numbers"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def open_page(browser: Browser, path: Path, **options: object) -> Opened:
    context = browser.new_context(**options)  # type: ignore[arg-type]  # the options of a test
    opened = Opened(context.new_page())
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("console", lambda message: opened.messages.append(message.text))
    opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
    opened.page.on("dialog", lambda dialog: (opened.dialogs.append(dialog.message), dialog.dismiss()))
    opened.page.goto(path.as_uri())
    return opened


def test_page_asks_for_no_other_file_and_runs_no_script_of_a_text(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    opened = open_page(browser, pages[name])
    for summary in opened.page.locator("summary").all():
        summary.click()
    opened.page.wait_for_load_state("networkidle")
    assert opened.requests == [pages[name].as_uri()]
    assert opened.messages == []
    assert opened.dialogs == []
    assert ATTACK in opened.page.locator("#mistakes").inner_text()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_page_does_not_scroll_sideways(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    opened = open_page(browser, pages[name], viewport={"width": width, "height": 740})
    opened.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_filters_show_the_texts_that_fit_all_of_them_and_tell_how_many(
    browser: Browser, pages: dict[str, Path]
) -> None:
    opened = open_page(browser, pages["one"])
    page, whole = opened.page, opened.shown
    assert opened.count == f"{whole} of {whole} texts"
    page.select_option("select[name=split]", label="dev")
    in_dev = opened.shown
    assert 0 < in_dev < whole
    gold = page.locator("#mistakes > li:visible .label.missed").first.inner_text()
    page.select_option("select[name=gold]", label=gold)
    found = page.locator("#mistakes > li:visible .label.missed").all_inner_texts()
    assert 0 < len(found) <= in_dev
    assert set(found) == {gold}
    assert opened.count == f"{len(found)} of {whole} texts"
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function(f"document.querySelector('output').value === '{whole} of {whole} texts'")


def test_words_are_sought_in_texts_without_regard_to_case(browser: Browser, pages: dict[str, Path], name: str) -> None:
    opened = open_page(browser, pages[name])
    whole = opened.shown
    opened.page.fill("input[name=text]", "WORD " * 40)
    assert 0 < opened.shown < whole
    opened.page.fill("input[name=text]", "no text has these words")
    assert opened.shown == 0
    assert opened.page.locator("#none").is_visible()


def test_head_of_a_table_sorts_by_its_column(browser: Browser, pages: dict[str, Path]) -> None:
    opened = open_page(browser, pages["one"])
    table = opened.page.locator("#labels ~ .splits table").first

    def column(place: int) -> list[float]:
        return [float(text) for text in table.locator(f"tbody td:nth-child({place})").all_inner_texts()]

    table.get_by_role("button", name="Recall").click()
    assert column(4) == sorted(column(4))
    table.get_by_role("button", name="Recall").click()
    assert column(4) == sorted(column(4), reverse=True)
    table.get_by_role("button", name="Label").click()
    heads = table.locator("tbody th").all_text_contents()
    assert sorted(heads) != heads or heads.index("a_long_label_2") < heads.index("a_long_label_10")
    assert heads.index("a_long_label_2") < heads.index("a_long_label_10")


def test_without_javascript_all_is_readable_but_the_filter(browser: Browser, pages: dict[str, Path], name: str) -> None:
    opened = open_page(browser, pages[name], java_script_enabled=False)
    for element in ("h1, h2", ".headline .value", "svg", "main > section", "#mistakes > li"):
        assert opened.page.locator(element).count() > 0
        assert all(each.is_visible() for each in opened.page.locator(element).all()[:60])
    assert not opened.page.locator("form").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_readers_scheme_and_text_stands_out(
    browser: Browser, pages: dict[str, Path], scheme: str
) -> None:
    opened = open_page(browser, pages["one"], color_scheme=scheme)
    background, text, muted = (
        luminance(opened.page.evaluate(f"getComputedStyle(document.querySelector('{element}')).{style}"))
        for element, style in (("html", "backgroundColor"), ("body", "color"), (".muted", "color"))
    )
    assert (background < 0.05) == (scheme == "dark")
    for other in (text, muted):
        assert (max(background, other) + 0.05) / (min(background, other) + 0.05) > 4.5  # WCAG 2.2, 1.4.3


def luminance(colour: str) -> float:
    """The relative luminance, as WCAG 2.2 defines it, of `rgb(r, g, b)`."""
    channels = [int(channel) / 255 for channel in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
