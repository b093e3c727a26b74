"""The page of `tuneline lineage --html` as a browser shows it. Needs Debian's chromium."""

from itertools import combinations
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from pipeline.lineage.page import render_page
from tests.end_to_end.test_report_in_browser import ATTACK, CHROMIUM, browser
from tests.lineage.lineages import full_of, sample, scarce

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")

LABELS = """() => [...document.querySelectorAll(".graph text")].map((label) => {
  const [text, box] = [label, label.parentElement.querySelector("rect")].map((each) => each.getBoundingClientRect());
  return {left: text.left, right: text.right, top: text.top, bottom: text.bottom,
          inside: text.left > box.left && text.right < box.right && text.top > box.top && text.bottom < box.bottom};
})"""


@pytest.mark.parametrize("text", ["", ATTACK, "w" * 300, "長い名前" * 40], ids=["plain", "attack", "long", "wide"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_fits_the_screen_and_no_two_labels_of_the_graph_overlap(
    browser: Browser, tmp_path: Path, text: str, width: int
) -> None:
    path = tmp_path / "lineage.html"
    path.write_text(render_page(full_of(text) if text else sample()), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 740})
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    labels = page.evaluate(LABELS)
    assert len(labels) > 20
    assert all(label["inside"] for label in labels)
    for one, other in combinations(labels, 2):
        assert (
            one["right"] <= other["left"]
            or other["right"] <= one["left"]
            or one["bottom"] <= other["top"]
            or other["bottom"] <= one["top"]
        )
    assert (messages, requests) == ([], [path.as_uri()])
    page.close()


def test_page_of_a_version_with_few_recorded_facts_is_shown(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "lineage.html"
    path.write_text(render_page(scarce()), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.get_by_text("execution not recorded", exact=True).count() == 4
    assert page.locator(".graph").is_visible()
    page.close()
