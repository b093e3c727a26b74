"""The tree of `tuneline lineage`, and the texts that its page shares with it."""

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from pipeline.lineage.page import render_page
from pipeline.lineage.query import Lineage
from pipeline.lineage.tree import OTHER_RUN, UNKNOWN, is_from_other_run, render_tree
from tests.lineage.lineages import (
    COMMIT,
    ENCODING_RUN,
    FLOW_RUNS,
    OTHER_COMMIT,
    TRAINING_RUN,
    change_stage,
    files_in,
    full_of,
    sample,
    scarce,
)
from tests.pages import Read


def print_tree(lineage: Lineage, *, width: int = 80, files: bool = False) -> str:
    """The output of the command into a pipe."""
    shown = io.StringIO()
    console = Console(
        file=shown,
        width=width,
        soft_wrap=True,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(render_tree(lineage, files=files))
    return shown.getvalue()


def test_tree_has_every_fact_in_the_order_of_the_pipeline() -> None:
    lineage = sample()
    text = print_tree(lineage, files=True)
    assert text.startswith(f"demo-ner/3 @challenger @champion\ndigest {'d' * 64}\nF1 0.8200 on dev, 0.7412 on test\n")
    for fact in (
        "2026-05-01 11:00:00 UTC",
        f"{COMMIT} with uncommitted changes",
        *FLOW_RUNS.values(),
        TRAINING_RUN,
        ENCODING_RUN,
        "Python 3.11.9, EPYC, 2 cores; cpu, bf16, 1 thread",
        "packages   3, including torch 2.13.0+cpu and transformers 5.23.0",
        "rebuilding possible",
    ):
        assert fact in text
    heads = [text.index(lineage.record.stages[name].command) for name in FLOW_RUNS]
    assert heads == sorted(heads)
    for file in files_in(lineage):
        assert re.search(rf"{re.escape(file.path)} +{file.digest[:12]}\n", text)
    for key, value in (("data.split", "null"), ("train.learning_rate", "5e-05"), ("train.words", '["a", "b"]')):
        assert re.search(rf"{key} +{re.escape(value)}\n", text)
    assert "\x1b" not in text


def test_tree_counts_the_files_of_code_unless_all_are_requested() -> None:
    text = print_tree(sample())
    assert "stages/train.py" not in text
    assert "2 files of code\n" in text
    assert "1 file of code\n" in text


@pytest.mark.parametrize("width", [40, 80])
def test_tree_wraps_long_lines_and_truncates_nothing(width: int) -> None:
    lineage = full_of("a-long-name/" * 9)
    text = print_tree(lineage, width=width, files=True)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    whole = re.sub(r"[\s│├└─]", "", text)
    assert lineage.record.train_key in whole
    for file in files_in(lineage):
        assert file.path + file.digest[:12] in whole


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("tokenize", {"commit": OTHER_COMMIT}),
        ("train", {"mlflow_run": "b" * 32}),
        ("evaluate", {"flow_run": None}),
    ],
)
def test_a_result_of_another_run_is_marked(stage: str, change: dict[str, Any]) -> None:
    lineage = sample()
    assert not any(is_from_other_run(lineage, name) for name in FLOW_RUNS)
    execution = lineage.record.stages[stage].made_by
    assert execution is not None
    lineage = change_stage(lineage, stage, made_by=replace(execution, **change))
    assert [name for name in FLOW_RUNS if is_from_other_run(lineage, name)] == [stage]
    assert print_tree(lineage).count(OTHER_RUN) == 1
    page = render_page(lineage)
    assert Read(page).texts.count(OTHER_RUN) == 1
    assert page.count('class="warns"') == 2  # in the graph and in the table


def test_tree_and_page_say_what_is_not_known() -> None:
    text, page = print_tree(scarce()), Read(render_page(scarce())).text
    for words in ("none: git is not installed", "none: registered without Prefect", "not recorded", UNKNOWN):
        assert words in text
        assert words in page
    for words in (
        "rebuilding not possible: it has no commit (git is not installed);",
        "/elsewhere/corpus",
        "no inputs",
        "no parameters",
    ):
        assert words in text
    assert text.count(UNKNOWN) == 4
    assert "it has no commit (git is not installed); neither git nor DVC tracks /elsewhere/corpus" in page


def test_tree_and_page_say_that_a_record_was_altered() -> None:
    lineage = replace(sample(), altered=["dvc.lock"])
    assert "dvc.lock: changed after the registration" in print_tree(lineage)
    assert "The record was altered. Changed after the registration: dvc.lock." in Read(render_page(lineage)).text
