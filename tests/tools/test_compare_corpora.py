"""Two corpora beside each other, on real files."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checkout.processes import run_json
from stages.artifacts import write_json
from stages.corpus.reading import DataParams, open_corpus
from stages.corpus.splits import SentenceSplitParams
from stages.corpus.text.sentences import SPLITS
from stages.errors import UserError
from stages.runtime import entry_point
from stages.tasks.token_classification.tools.comparison import ComparedSentences
from stages.tools import compare_corpora
from stages.tools.compare_corpora import Side, pair_examples

ANNA = "Anna B-PER\nslept O"
BONN = "Bonn B-LOC\nwoke O"
REST = "rest O"
ALEX = "Alex I-PER\nleft O\nRome I-LOC\nParis B-LOC"  # IOB1
READ = {"format": "auto", "words": "auto", "tags": "auto"}

Corpus = dict[str, list[str]]


def write(folder: Path, corpus: Corpus) -> Path:
    """A corpus of three files; every split has the sentence REST, since none may be empty."""
    folder.mkdir()
    for split in SPLITS:
        text = "\n\n".join([REST, *corpus.get(split, [])])
        (folder / f"{split}.conll").write_text(text + "\n", encoding="utf-8")
    return folder


def compare(folder: Path, first: Corpus, second: Corpus, *, examples: int = 100) -> dict[str, Any]:
    """Write two corpora and find their differences."""
    return differences(read(write(folder / "first", first)), read(write(folder / "second", second)), examples=examples)


def differences(first: Side, second: Side, *, examples: int = 100) -> dict[str, Any]:
    return compare_corpora.find_differences(
        first, second, pair_examples(first.examples, second.examples), examples=examples
    )


def read(place: Path, split: SentenceSplitParams | None = None) -> Side:
    return Side.read(ComparedSentences(open_corpus(DataParams(**READ, dir=str(place), split=split))))


def write_params(folder: Path) -> Path:
    """The params file of two corpora without any difference, and these."""
    sides = {
        side: {
            "task": {"name": "token_classification"},
            "data": {**READ, "dir": str(write(folder / side, {})), "split": None},
        }
        for side in ("first", "second")
    }
    write_json(folder / "params.json", {"compare_corpora": {**sides, "examples": 1}})
    return folder / "params.json"


def counts(of_split: dict[str, int]) -> dict[str, int]:
    """The counts that are not 0, but for the two totals."""
    return {name: count for name, count in of_split.items() if count and name not in ("first", "second")}


def test_sentences_are_added_removed_relabelled_and_moved(tmp_path: Path) -> None:
    found = compare(
        tmp_path,
        {"train": [ANNA, BONN, "gone O"], "dev": ["stays O"]},
        {"train": [ANNA.replace("PER", "ORG"), "new O"], "dev": ["stays O"], "test": [BONN]},
    )
    assert found["counts"] == {"added": 1, "removed": 1, "relabelled": 1, "moved": 1}
    assert found["splits"]["train"] == {
        "first": 4, "second": 3, "added": 1, "removed": 1, "relabelled": 1, "moved_in": 0, "moved_out": 1
    }  # fmt: skip
    assert counts(found["splits"]["dev"]) == {}
    assert counts(found["splits"]["test"]) == {"moved_in": 1}
    by_kind = {tuple(example["kinds"]): example for example in found["examples"]}
    assert by_kind["added",]["first"] is None
    assert by_kind["added",]["second"] == {"words": ["new"], "tags": ["O"], "split": "train", "where": "train.conll:6"}
    assert (by_kind["removed",]["first"]["words"], by_kind["removed",]["second"]) == (["gone"], None)
    relabelled = by_kind["relabelled",]
    assert [relabelled[side]["tags"] for side in ("first", "second")] == [["B-PER", "O"], ["B-ORG", "O"]]
    moved = by_kind["moved",]
    assert [moved[side]["where"] for side in ("first", "second")] == ["train.conll:6", "test.conll:3"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([ANNA] * 3, [ANNA] * 2, {"removed": 1}),
        ([ANNA], [ANNA] * 3, {"added": 2}),
        ([ANNA, ANNA], [ANNA, ANNA.replace("PER", "ORG")], {"relabelled": 1}),
        ([ANNA, ANNA], [ANNA.replace("PER", "ORG")] * 3, {"relabelled": 2, "added": 1}),
        ([ANNA, BONN], [BONN, ANNA], {}),
        ([ANNA.replace("PER", "ORG"), ANNA], [ANNA, ANNA.replace("PER", "ORG")], {}),
    ],
)
def test_a_sentence_is_counted_as_often_as_it_occurs(
    tmp_path: Path, first: list[str], second: list[str], expected: dict[str, int]
) -> None:
    found = compare(tmp_path, {"train": first}, {"train": second})
    assert counts(found["splits"]["train"]) == expected
    assert counts(found["counts"]) == expected


def test_one_that_was_moved_may_have_been_relabelled_too_and_one_of_the_same_tags_goes_first(tmp_path: Path) -> None:
    other = ANNA.replace("PER", "ORG")
    found = compare(tmp_path, {"train": [ANNA, BONN]}, {"dev": [other], "test": [BONN.replace("LOC", "ORG"), BONN]})
    assert counts(found["splits"]["train"]) == {"moved_out": 2}
    assert counts(found["splits"]["dev"]) == {"relabelled": 1, "moved_in": 1}
    assert counts(found["splits"]["test"]) == {"moved_in": 1, "added": 1}
    assert [example["kinds"] for example in found["examples"]] == [["relabelled", "moved"], ["added"], ["moved"]]


def test_another_tag_scheme_alone_is_no_difference(tmp_path: Path) -> None:
    bilou = "Alex U-PER\nleft O\nRome U-LOC\nParis U-LOC"
    assert compare(tmp_path, {"train": [ALEX]}, {"train": [bilou]})["examples"] == []


def test_another_way_to_split_a_corpus_moves_its_sentences(tmp_path: Path) -> None:
    text = "\n\n".join(f"word{number} O" for number in range(100)) + "\n"
    (tmp_path / "all.conll").write_text(text, encoding="utf-8")
    sides = [read(tmp_path / "all.conll", SentenceSplitParams(dev=dev, test=0.1)) for dev in (0.1, 0.3)]
    found = differences(*sides, examples=1)
    assert {kind for kind, count in found["counts"].items() if count} == {"moved"}
    dev = found["splits"]["dev"]
    assert dev["second"] - dev["first"] == dev["moved_in"] == found["counts"]["moved"] > 10
    (example,) = found["examples"]
    assert example["first"]["where"] == example["second"]["where"]
    assert example["first"]["where"].startswith("all.conll:")


def test_only_some_examples_of_each_kind_are_listed_but_all_are_counted(tmp_path: Path) -> None:
    first = {"train": [f"old{number} O" for number in range(9)]}
    found = compare(tmp_path, first, {"dev": [f"new{number} O" for number in range(9)]}, examples=2)
    assert (found["counts"]["added"], found["counts"]["removed"]) == (9, 9)
    assert sorted(example["kinds"][0] for example in found["examples"]) == ["added"] * 2 + ["removed"] * 2


SENTENCE = st.sampled_from([ANNA, ANNA.replace("PER", "ORG"), BONN, "a O", "a B-LOC"])
CORPUS = st.fixed_dictionaries({split: st.lists(SENTENCE, max_size=5) for split in SPLITS})


@given(first=CORPUS, second=CORPUS)
def test_the_counts_add_up(tmp_path_factory: pytest.TempPathFactory, first: Corpus, second: Corpus) -> None:
    folder = tmp_path_factory.mktemp("corpora")
    found = compare(folder, first, second)
    for split, figures in found["splits"].items():
        assert (figures["first"], figures["second"]) == (len(first[split]) + 1, len(second[split]) + 1)
        moved = figures["moved_in"] - figures["moved_out"]
        assert figures["second"] - figures["first"] == figures["added"] - figures["removed"] + moved
    words = [Counter(text.split(" ")[0] for split in SPLITS for text in corpus[split]) for corpus in (first, second)]
    assert found["counts"]["added"] == (words[1] - words[0]).total()
    assert found["counts"]["removed"] == (words[0] - words[1]).total()
    assert all(example["first"] or example["second"] for example in found["examples"])


def test_differences_are_read_from_a_child_process(tmp_path: Path) -> None:
    params = write_params(tmp_path)
    (tmp_path / "second/dev.conll").write_text("سلام O\n", encoding="utf-8")
    found = run_json("stages.tools.compare_corpora", params, on_progress=lambda _: None)
    assert found["counts"] == {"added": 1, "removed": 1, "relabelled": 0, "moved": 0}
    assert [example["second"]["words"] for example in found["examples"] if example["second"]] == [["سلام"]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "second/dev.conll").unlink(), "second does not hold one each of train, dev and test"),
        (lambda folder: (folder / "second/dev.conll").write_text("Anna X-PER\n"), "'X-PER' is not a tag"),
        (lambda folder: (folder / "first/train.conll").write_bytes(b""), "first/train.conll: is empty"),
        (lambda folder: write_json(folder / "params.json", {}), "compare_corpora: missing"),
        (lambda folder: write_json(folder / "params.json", {"compare_corpora": {"frist": 1}}), "did you mean 'first'?"),
    ],
)
def test_compare_corpora_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spoil: Any, message: str
) -> None:
    write_params(tmp_path)
    spoil(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compare_corpora", "--params", str(tmp_path / "params.json")])
    with pytest.raises(SystemExit) as exit_:
        entry_point.run_recipe(compare_corpora.main)
    shown = capsys.readouterr()
    assert exit_.value.code == UserError.exit_code
    assert message in shown.err
    assert shown.err.count("error: ") == 1
    assert shown.out == ""
