"""Pages as Debian's chromium shows them, with all that they ask for, say or open."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ATTACK = "<script>alert(1)</script>"

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


@dataclass
class Opened:
    """A page with all that it asked for, said or opened while it was used."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def shown(self) -> Locator:
        """The mistakes that are to be seen."""
        return self.page.locator("#mistakes > li:visible")

    @property
    def count(self) -> str:
        """What the page says of how many there are."""
        return self.page.locator("output").inner_text()

    @property
    def fits_the_screen(self) -> bool:
        """Whether nothing makes it scroll sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    def unfold(self) -> None:
        """Open all that a click opens."""
        self.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")

    def shows(self, selector: str) -> bool:
        """Whether there are such elements, and all are visible."""
        every = "found => found.length > 0 && found.every(each => each.checkVisibility({visibilityProperty: true}))"
        return bool(self.page.locator(selector).evaluate_all(every))

    def contrast(self, *places: tuple[str, str]) -> float:
        """The contrast of two colours, as WCAG 2.2 defines it; a place is an element and the style with its colour."""
        darker, lighter = sorted(self.luminance(*place) for place in places)
        return (lighter + 0.05) / (darker + 0.05)

    def luminance(self, element: str, style: str) -> float:
        """The relative luminance of a colour, as WCAG 2.2 defines it."""
        colour = self.page.evaluate(f"getComputedStyle(document.querySelector('{element}')).{style}")
        channels = [int(channel) / 255 for channel in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a module: while it runs, no other event loop can."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, path: Path, **options: Any) -> Iterator[Opened]:
    """Within, the page is open in a context of its own, with these options."""
    context = browser.new_context(**options)
    opened = Opened(context.new_page())

    def dismiss(dialog: Any) -> None:
        opened.dialogs.append(dialog.message)
        dialog.dismiss()

    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("console", lambda message: opened.messages.append(message.text))
    opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
    opened.page.on("dialog", dismiss)
    opened.page.goto(path.as_uri())
    yield opened
    context.close()
