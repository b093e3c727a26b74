"""The page of `tuneline lineage --html` as a browser shows it. Needs Debian's chromium."""

from itertools import combinations
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from pipeline.lineage.page import render_page
from tests.browser import ATTACK, browser, needs_chromium, open_page
from tests.lineage.lineages import full_of, sample, scarce

__all__ = ["browser"]  # a fixture

pytestmark = needs_chromium

LABELS = """() => [...document.querySelectorAll(".graph text")].map((label) => {
  const [text, box] = [label, label.parentElement.querySelector("rect")].map((each) => each.getBoundingClientRect());
  return {left: text.left, right: text.right, top: text.top, bottom: text.bottom,
          inside: text.left > box.left && text.right < box.right && text.top > box.top && text.bottom < box.bottom};
})"""


@pytest.mark.parametrize("text", ["", ATTACK, "w" * 300, "長い名前" * 40], ids=["plain", "attack", "long", "wide"])
def test_page_fits_the_screen_and_no_two_labels_of_the_graph_overlap(
    browser: Browser, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "lineage.html"
    path.write_text(render_page(full_of(text) if text else sample()), encoding="utf-8")
    with open_page(browser, path) as opened:
        opened.unfold()
        for width in (360, 1280):
            opened.page.set_viewport_size({"width": width, "height": 740})
            assert opened.fits_the_screen, width
            labels = opened.page.evaluate(LABELS)
            assert len(labels) > 20
            assert all(label["inside"] for label in labels)
            for one, other in combinations(labels, 2):
                assert (
                    one["right"] <= other["left"]
                    or other["right"] <= one["left"]
                    or one["bottom"] <= other["top"]
                    or other["bottom"] <= one["top"]
                )
        assert (opened.messages, opened.dialogs, opened.requests) == ([], [], [path.as_uri()])


def test_page_of_a_version_with_few_recorded_facts_is_shown(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "lineage.html"
    path.write_text(render_page(scarce()), encoding="utf-8")
    with open_page(browser, path) as opened:
        assert opened.page.get_by_text("execution not recorded", exact=True).count() == 4
        assert opened.shows(".graph")
