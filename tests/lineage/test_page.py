"""The page of `tuneline lineage --html`, without a browser; test_lineage_in_browser.py has one."""

import re

import pytest

from pipeline.lineage.page import BOX, build_graph, lay_out, render_page, shorten
from pipeline.lineage.query import Lineage
from stages.tracking.lineage_record import FileEntry
from tests.lineage.lineages import (
    CORPUS,
    ENCODED,
    MODEL,
    REPORT,
    change_stage,
    files_in,
    files_of,
    full_of,
    sample,
    scarce,
)
from tests.pages import HOSTILE, Read


def test_page_has_every_file_parameter_and_package() -> None:
    lineage = sample()
    page = Read(render_page(lineage))
    for file in files_in(lineage):
        assert {file.path, file.digest} <= set(page.texts)
    for stage in lineage.record.stages.values():
        assert set(stage.params) <= set(page.texts)
    for name, version in lineage.record.environment.packages.items():
        assert {name, version} <= set(page.texts)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_page_shows_every_string_as_text(hostile: str) -> None:
    page, expected = (Read(render_page(full_of(text))) for text in (hostile, "harmless"))
    assert page.elements == expected.elements
    assert page.attributes == expected.attributes
    assert page.texts.count(hostile) >= 10


@pytest.mark.parametrize("lineage", [sample(), scarce(), full_of("x" * 300)], ids=["sample", "scarce", "long"])
def test_page_refers_to_nothing_outside_itself_and_its_elements_are_closed(lineage: Lineage) -> None:
    page = render_page(lineage)
    read = Read(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(read.elements)
    assert "src" not in read.attributes
    assert set(re.findall(r'href="(.)', page)) == {"#"}
    assert set(re.findall(r"url\((.)", page)) == {"#"}
    for element in ("svg", "table", "section", "details", "div", "text"):
        assert page.count(f"</{element}>") == read.elements.count(element)
    identities = re.findall(r' id="([^"]+)"', page)
    assert len(identities) == len(set(identities))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(identities)


def test_graph_goes_from_the_data_to_the_version() -> None:
    _, arrows = build_graph(sample())
    assert {(source.full_title, target.full_title) for source, target in arrows} == {
        (f"{CORPUS}/", "tokenize"),
        ("encoders/tiny", "tokenize"),
        ("encoders/tiny", "train"),
        ("tokenize", f"{ENCODED}/"),
        (f"{ENCODED}/", "train"),
        (f"{ENCODED}/", "evaluate"),
        ("train", f"{MODEL}/"),
        (f"{MODEL}/", "evaluate"),
        (f"{MODEL}/", "register"),
        ("evaluate", f"{REPORT}/"),
        (f"{REPORT}/", "register"),
        ("register", "demo-ner/3"),
    }


def test_graph_has_a_folder_that_the_record_did_not_expand() -> None:
    lineage = change_stage(sample(), "tokenize", outputs=[FileEntry(ENCODED, f"{'f' * 32}.dir")])
    _, arrows = build_graph(lineage)
    assert (ENCODED, "train") in {(source.full_title, target.full_title) for source, target in arrows}
    assert f"{'f' * 12} (folder)" in Read(render_page(lineage)).texts


def test_boxes_of_the_graph_do_not_overlap_with_inputs_from_elsewhere() -> None:
    lineage = sample()
    for stage in ("train", "evaluate"):
        inputs = lineage.record.stages[stage].inputs
        lineage = change_stage(lineage, stage, inputs=inputs + files_of(f"/elsewhere/{stage}", "lexicon.txt"))
    graph = lay_out(*build_graph(lineage))
    boxes = [(x, y, x + BOX, y + node.height) for node, x, y in graph.boxes]
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 0 < left < right < graph.width
        assert 0 < top < bottom < graph.height
        for other in boxes[number + 1 :]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top


@pytest.mark.parametrize(
    ("text", "shortened"), [("short", "short"), ("data/train.conll", "…in.conll"), ("日本語日本語", "…語日本語")]
)
def test_shorten_keeps_the_end(text: str, shortened: str) -> None:
    assert shorten(text, 9) == shortened
