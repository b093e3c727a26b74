"""The examples of labelled texts in data/corpora/README.md and in `tuneline check --help` are read as they say."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

from pipeline.cli.formats import TEXT_FORMATS
from stages.corpus.examples.readers.columns import Wanted
from stages.corpus.text.diagnostics import Diagnostics
from tests.checkouts import ROOT
from tests.corpus.examples.conftest import open_files, read_all

PAGE = (ROOT / "data/corpora/README.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Labelled texts") : PAGE.index("## Raw text")]
FIRST = "Late again, and nobody called."
ONE = [["complaint"], ["praise"], ["complaint"]]
FORMS: dict[str, tuple[str, Wanted, list[list[str]] | list[list[float]]]] = {
    "text,label,": ("csv", "labels", ONE[:2]),
    "Late again, and nobody called.@": ("txt", "labels", ONE),
    "text,severity": ("csv", "numbers", [[6.5], [0.0]]),
    "text,labels": ("csv", "labels", [["delivery", "service"], ["service"]]),
    '{"': ("jsonl", "labels", ONE[:2]),
    "[{": ("json", "labels", ONE[:2]),
    "__label__": ("txt", "labels", ONE[:2]),
}
EXAMPLES = re.findall(r"```\n(.*?)```", SECTION, re.DOTALL)
SHOWN = [dedent(block) for block in re.findall(r"(?:^    .*\n)+", TEXT_FORMATS, re.MULTILINE)]  # by --help


def test_each_form_has_its_example() -> None:
    assert [block.startswith(start) for block, start in zip(EXAMPLES, FORMS, strict=True)] == [True] * len(FORMS)


def test_help_shows_examples_of_the_page() -> None:
    assert len(SHOWN) == 5
    assert set(SHOWN) <= set(EXAMPLES)


@pytest.mark.parametrize(("text", "form"), list(zip(EXAMPLES, FORMS.values(), strict=True)), ids=FORMS)
def test_documented_example_is_read(
    tmp_path: Path, text: str, form: tuple[str, Wanted, list[list[str]] | list[list[float]]]
) -> None:
    extension, wanted, answers = form
    diagnostics = Diagnostics()
    is_multiple = any(len(answer) > 1 for answer in answers)
    corpus = open_files(tmp_path, {f"all.{extension}": text}, wanted, multi_label=is_multiple)
    found = read_all(corpus, diagnostics)
    assert not diagnostics.of("error")
    assert [each.answer for each in found] == answers
    assert found[0].text == FIRST
