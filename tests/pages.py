"""HTML pages in tests: what a browser reads in them, and strings that would be markup or scripts."""

import re
from html.parser import HTMLParser

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "it's & <b>bold</b> &amp; {{ 7 * 7 }}",
    "\u202e\u05de\u05e7\u05d5\u05dd",
]


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
        """All text, with white space collapsed."""
        return " ".join("".join(self.texts).split())


def visible_text(page: str) -> str:
    """What a reader of a page sees."""
    return Read(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)).text
