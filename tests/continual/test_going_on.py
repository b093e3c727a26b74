"""A model of each task that goes on from an older one: with old examples, near what that predicts, scored on old tests."""

from pathlib import Path

from stages import tokenize, train
from stages.artifacts import folder_digest
from stages.encoding.files import read_manifest
from tests.continual.conftest import Run


def test_old_examples_and_the_parents_answers_change_a_model_and_the_same_ones_give_the_same_bytes(
    run: Run, parent: Path
) -> None:
    old = str(parent / "corpus")
    run(tokenize, train)
    alone = run.weights
    run(tokenize, train, train__replay__corpus=old, train__replay__share=0.25)
    replayed = run.weights
    counts = read_manifest(Path("data/encoded")).counts
    assert counts["replay"]["windows"] == counts["train"]["windows"] * 3
    run(train, train__retain=2.0)
    both = folder_digest(Path("data/model"))
    retained = run.weights
    assert len({alone, replayed, retained}) == 3
    run(train)
    assert folder_digest(Path("data/model")) == both
