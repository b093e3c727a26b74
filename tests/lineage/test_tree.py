"""What `tuneline lineage` prints of a version, and what its page says in the same words."""

import io
import re
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from pipeline.lineage.page import render
from pipeline.lineage.query import Lineage
from pipeline.lineage.tree import ANOTHER_RUN, UNTOLD, is_of_another_run, tree
from tests.lineage.lineages import (
    COMMIT,
    ENCODING_RUN,
    FLOW_RUNS,
    OTHER_COMMIT,
    TRAINING_RUN,
    files_in,
    full_of,
    sample,
    scarce,
)
from tests.tasks.token_classification.test_report import Read


def printed(lineage: Lineage, *, width: int = 80, files: bool = False) -> str:
    """As the command prints it, its output piped."""
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
    console.print(tree(lineage, files=files))
    return shown.getvalue()


def test_tree_tells_every_fact_in_the_order_of_the_pipeline() -> None:
    lineage = sample()
    text = printed(lineage, files=True)
    assert text.startswith(f"demo-ner/3 @challenger @champion\ndigest {'d' * 64}\nF1 0.8200 on dev, 0.7412 on test\n")
    for fact in (
        "2026-05-01 11:00:00 UTC",
        f"{COMMIT} with uncommitted changes",
        *FLOW_RUNS.values(),
        TRAINING_RUN,
        ENCODING_RUN,
        "Python 3.11.9, EPYC, 2 cores; cpu, bf16, 1 thread",
        "packages   3, torch 2.13.0+cpu and transformers 5.23.0 among them",
        "rebuilding possible",
    ):
        assert fact in text
    heads = [text.index(stage["command"]) for stage in map(lineage["stages"].get, FLOW_RUNS)]
    assert heads == sorted(heads)
    for file in files_in(lineage):
        assert re.search(rf"{re.escape(file['path'])} +{file['digest'][:12]}\n", text)
    for key, value in (("data.split", "null"), ("train.learning_rate", "5e-05"), ("train.words", '["a", "b"]')):
        assert re.search(rf"{key} +{re.escape(value)}\n", text)
    assert "\x1b" not in text


def test_tree_counts_the_files_of_code_unless_they_are_asked_for() -> None:
    text = printed(sample())
    assert "stages/train.py" not in text
    assert "2 files of code\n" in text
    assert "1 file of code\n" in text


@pytest.mark.parametrize("width", [40, 80])
def test_tree_folds_what_is_too_long_and_cuts_nothing(width: int) -> None:
    lineage = full_of("a-long-name/" * 9)
    text = printed(lineage, width=width, files=True)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    whole = re.sub(r"[\s│├└─]", "", text)
    assert lineage["train_key"] in whole
    for file in files_in(lineage):
        assert file["path"] + file["digest"][:12] in whole


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("tokenize", {"commit": OTHER_COMMIT}),
        ("train", {"mlflow_run": "b" * 32}),
        ("evaluate", {"flow_run": None}),
    ],
)
def test_a_result_of_another_run_is_told_as_one(stage: str, change: dict[str, Any]) -> None:
    lineage = sample()
    assert not any(is_of_another_run(lineage, name) for name in lineage["stages"])
    lineage["stages"][stage]["made_by"] |= change
    assert [name for name in lineage["stages"] if is_of_another_run(lineage, name)] == [stage]
    assert printed(lineage).count(ANOTHER_RUN) == 1
    assert Read(render(lineage)).texts.count(ANOTHER_RUN) == 1
    assert render(lineage).count('class="warns"') == 2  # in the graph and in the table


def test_tree_and_page_say_what_is_not_known() -> None:
    text, page = printed(scarce()), Read(render(scarce())).text
    for words in ("none: git had no commit", "none: registered without Prefect", "not recorded", UNTOLD):
        assert words in text
        assert words in page
    for words in ("rebuilding not possible: neither git nor DVC keeps /elsewhere/corpus", "no inputs", "no parameters"):
        assert words in text
    assert text.count(UNTOLD) == 4
    assert "not possible: neither git nor DVC keeps /elsewhere/corpus" in page


def test_tree_and_page_say_that_a_record_was_altered() -> None:
    lineage = sample() | {"altered": ["dvc.lock"]}
    assert "dvc.lock: not as it was registered" in printed(lineage)
    assert "The record was altered. Not as it was registered: dvc.lock." in Read(render(lineage)).text
