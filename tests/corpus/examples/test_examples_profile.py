# ruff: noqa: E501 - most cases are a line each

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.readers.columns import Wanted
from stages.corpus.text.sentences import Int32s
from tests.corpus.examples.conftest import Files, find, open_files, profile

HEADER = "text,label\n"


class Tokens(NamedTuple):
    counts: Int32s
    unknown: Int32s


def count_words(texts: pa.StringArray) -> Tokens:
    """One token a word; those in capitals are unknown."""
    words = [text.split() for text in texts.to_pylist()]
    unknown = [sum(word.isupper() for word in each) for each in words]
    return Tokens(np.array([len(each) for each in words], np.int32), np.array(unknown, np.int32))


def table(*rows: str) -> str:
    return HEADER + "".join(f"{row}\n" for row in rows)


def many(*labels: str, start: int = 0) -> list[str]:
    return [f"text {label} {n},{label}" for label in labels for n in range(start, start + 6)]


def test_profile_counts_by_split(tmp_path: Path) -> None:
    files: Files = {"train.csv": table(*many("a", "b")), "dev.csv": table("x y,a"), "test.csv": table("z,b", "w,b")}
    found, _ = profile(open_files(tmp_path, files, slices=["label"]), count_tokens=count_words)
    figures = found.to_json(window=1)
    assert figures["labels"] == ["a", "b"]
    assert figures["splits"]["train"]["labels"] == {"a": 6, "b": 6}
    assert figures["splits"]["train"]["labels_per_example"] == {1: 12}
    assert figures["splits"]["test"]["examples"] == 2
    assert figures["splits"]["test"]["slices"] == {"label": {"b": 2}}
    assert figures["splits"]["dev"]["tokens"]["max"] == 2
    assert figures["splits"]["dev"]["longer_than_window"] == 1


def test_profile_of_numbers_has_mean_deviation_and_extremes(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).normal(50, 3, 40_000).round(3)
    content = "text,score\n" + "".join(f"text {n},{number}\n" for n, number in enumerate(numbers))
    found, _ = profile(open_files(tmp_path, {"train.csv": content}, "numbers"))
    (figures,) = found.to_json(window=1)["splits"]["all"]["numbers"]
    assert figures["mean"] == pytest.approx(numbers.mean(), rel=1e-12)
    assert figures["deviation"] == pytest.approx(numbers.std(), rel=1e-12)
    assert (figures["min"], figures["max"]) == (numbers.min(), numbers.max())


DOUBTS: dict[str, tuple[Files, dict[str, Any], str, str, str]] = {
    "unseen label": (
        {"train.csv": table(*many("a", "b")), "dev.csv": table("x,a"), "test.csv": table("y,c", "z,b")}, {},
        "unseen-label", "", "c is in test only, in 1 example: no"),
    "few examples": ({"train.csv": table(*many("a", "b"), "x,c")}, {}, "few-examples", "", "c has only 1 example in all"),
    "untested label": (
        {"train.csv": table(*many("a", "b")), "dev.csv": table("x,a"), "test.csv": table("y,a")}, {},
        "untested-label", "", "b is neither in dev nor in test"),
    "imbalance": ({"train.csv": table(*(f"x{n},a" for n in range(19)), "y,b")}, {}, "imbalance", "", "95% of train is a"),
    "alike": ({"train.csv": table(*many("Spam", "spam"))}, {}, "types-alike", "", "the labels 'Spam' (6) and 'spam' (6)"),
    "joined": ({"train.csv": table(*many("a", "b", "a|b"))}, {}, "joined-labels", "", "data.label_separator='|'"),
    "one label each": ({"train.csv": table(*many("a", "b"))}, {"multi_label": True}, "one-label", "", "exactly one label"),
    "none": ({"train.csv": table(*many("a", "b"), "x,")}, {"multi_label": True}, "unlabelled", "", "1 example has no"),
    "contradiction": (
        {"train.csv": table(*many("a", "b"), "text a 0,b")}, {},
        "contradictions", "train.csv:14", "the same text is b here, and a at FOLDER/train.csv:2"),
    "contradiction across splits": (
        {"train.csv": table(*many("a", "b")), "test.csv": table("x,a", "x,b", "text a 1,b")}, {},
        "contradictions", "test.csv:4", "the same text is b here, and a at FOLDER/train.csv:3"),
    "across splits": (
        {"train.csv": table(*many("a", "b")), "test.csv": table("x,a", "text a 1,a")}, {},
        "in-train-and-test", "test.csv:3", "also in train at FOLDER/train.csv:3"),
    "within a split": (
        {"train.csv": table(*many("a", "b"), "text a 0,a")}, {},
        "repeated", "train.csv:14", "1 text repeats an earlier one of all"),
    "unsplit": ({"train.csv": table(*many("a", "b"))}, {}, "unsplit", "", "no train, dev and test. To train on it: tune"),
    "unknown word": ({"train.csv": table(*many("a", "b"), "x Y Z w v u,a")}, {}, "unknown-word", "train.csv:14",
                     "does not know 2 words of 'x Y Z w v u'"),
    "unknown words": ({"train.csv": table("X y,a", "Z w,b")}, {}, "unknown-words", "", "50% of the words (2 of 4 tokens)"),
    "long text": ({"train.csv": table(*many("a", "b"), f"{'x ' * 30},a")}, {}, "long-texts", "",
                  "1 example of all is longer than a window of 10 tokens (7.7%; the longest has 30)"),
    "ignored file": ({"train.csv": table(*many("a", "b")), "dev.csv": table("x,a"), "test.csv": table("y,a"),
                      "more.csv": table("z,a")}, {}, "ignored-file", "more.csv", "not read: its name says neither"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "settings", "code", "where", "message"), DOUBTS.values(), ids=DOUBTS)
def test_doubts_are_reported(
    tmp_path: Path, files: Files, settings: dict[str, Any], code: str, where: str, message: str
) -> None:
    _, diagnostics = profile(open_files(tmp_path, files, **settings), count_tokens=count_words)
    found = find(diagnostics, code)
    assert found, diagnostics.counts
    assert found[0].severity != "error"
    assert any(each.where == f"{tmp_path}/{where}".removesuffix("/") for each in found)
    assert any(message.replace("FOLDER", str(tmp_path)) in each.message for each in found)


@pytest.mark.parametrize("wanted", ["labels", "numbers"])
def test_sound_corpus_has_no_doubts(tmp_path: Path, wanted: Wanted) -> None:
    files: Files = {
        f"{name}.csv": "text,label\n" + "".join(f"{name} {n},{n % 2}\n" for n in range(20))
        for name in ("train", "dev", "test")
    }
    _, diagnostics = profile(open_files(tmp_path, files, wanted), count_tokens=count_words)
    assert not diagnostics.of("error")
    assert not diagnostics.of("warning")


def test_pairs_are_equal_only_with_both_texts(tmp_path: Path) -> None:
    content = "text,text2,label\nx,y,a\nx,z,b\nx y,,a\n"
    _, diagnostics = profile(open_files(tmp_path, {"train.csv": content}, text_pair="text2", faulty="drop"))
    assert not diagnostics.counts["contradictions"]


def test_equal_texts_with_other_numbers_contradict(tmp_path: Path) -> None:
    content = "text,V,A\nx,1,2\ny,2,2\nx,1,3\ny,2,2\n"
    _, diagnostics = profile(open_files(tmp_path, {"train.csv": content}, "numbers", target=["V", "A"]))
    assert [each.where.rpartition(":")[2] for each in find(diagnostics, "contradictions")] == ["4"]


def test_block_selects_and_hashes_what_it_holds() -> None:
    block = ExampleBlock(
        "f", pa.array(["x", "y"]), pa.array(["1", "2"]), pa.array([["a"], []], pa.list_(pa.string())), None,
        np.array([3, 5], np.int32), {"s": pa.array(["u", "v"]).dictionary_encode()},
    )  # fmt: skip
    chosen = block.select(np.array([False, True]))
    assert (chosen.where(0), chosen.show(0), len(chosen)) == ("f:5", "'y'", 1)
    assert chosen.digests[0] == block.digests[1]
    assert block.digests[0] != ExampleBlock("f", pa.array(["x"]), None, None, None, block.lines, {}).digests[0]
