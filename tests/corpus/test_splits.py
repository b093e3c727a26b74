"""Splits that are cut from train, beside those that have files of their own."""

from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.profile import profile_corpus
from stages.corpus.readers import text_files
from stages.corpus.reading import open_corpus
from stages.corpus.splits import SentenceSplitParams, SplitParams, open_older, raise_shares, split_numbers
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS, WORD_SEPARATOR, digests_of
from stages.errors import CorpusError
from tests.corpus.conftest import GOOD, Files, case_list, data_params, fill, read

NUMBERED = [f"w{n}" for n in range(400)]


def conll(words: list[str]) -> str:
    return "".join(f"{word} B-X\n\n" for word in words)


def words_of(place: Path, split: SplitParams | None) -> dict[str, list[str]]:
    return {
        name: [" ".join(sentence.words) for sentence in sentences]
        for name, sentences in read(open_corpus(data_params(place, split=split))).items()
    }


@pytest.mark.parametrize(
    ("given_file", "train_file", "shares", "cut"),
    [
        ("test.conll", "train.conll", SplitParams(dev=0.2), "dev"),
        ("dev.conll", "train.conll", SplitParams(test=0.2), "test"),
        ("test.conll", "letters.conll", SplitParams(dev=0.2), "dev"),  # whose name says no split
        ("test/x.conll", "train/y.conll", SplitParams(dev=0.2), "dev"),
    ],
)
def test_missing_split_is_cut_from_train_and_the_given_one_stays(
    tmp_path: Path, given_file: str, train_file: str, shares: SplitParams, cut: str
) -> None:
    found = words_of(fill(tmp_path / "c", {train_file: conll(NUMBERED), given_file: conll(["kept", "w1"])}), shares)
    (kept,) = set(SPLITS) - {"train", cut}
    assert found[kept] == ["kept", "w1"]
    assert sorted(found["train"] + found[cut]) == sorted(NUMBERED)
    numbers = split_numbers(digests_of(NUMBERED), shares)
    assert found[cut] == [word for word, number in zip(NUMBERED, numbers, strict=True) if SPLITS[number] == cut]
    assert 0.1 < len(found[cut]) / len(NUMBERED) < 0.3


def test_unnamed_file_beside_dev_and_test_is_train(tmp_path: Path) -> None:
    files: Files = {"letters.conll": conll(["a"]), "dev.conll": conll(["b"]), "test.conll": conll(["c"])}
    assert words_of(fill(tmp_path / "c", files), None) == {"train": ["a"], "dev": ["b"], "test": ["c"]}


@pytest.mark.parametrize(
    ("names", "shares", "splits"),
    [
        (["train", "test"], SplitParams(dev=0.2), ("train", "test")),
        (["train", "dev", "test"], SplitParams(dev=0.2, test=0.2), SPLITS),
        (["all"], SplitParams(dev=0.2, test=0.2), SPLITS),
        (["all"], SplitParams(dev=0.2), ("all",)),
        (["all"], None, ("all",)),
    ],
)
def test_an_older_corpus_has_the_splits_of_its_files_or_those_that_its_model_had(
    tmp_path: Path, names: list[str], shares: SplitParams | None, splits: tuple[str, ...]
) -> None:
    place = fill(tmp_path / "c", {f"{name}.conll": conll(NUMBERED) for name in names})
    params = data_params(place, split=shares)
    assert open_older(partial(open_corpus, allow_unsplit=True), params).splits == splits


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=20), st.floats(0.01, 0.98))
def test_a_sentence_goes_where_it_goes_in_a_corpus_of_one_file(sentences: list[list[str]], share: float) -> None:
    """Whether test is cut as well or has its own file, dev gets the sentences that its hash chooses."""
    digests = digests_of([WORD_SEPARATOR.join(words) for words in sentences])
    alone = split_numbers(digests, SplitParams(dev=share))
    both = split_numbers(digests, SplitParams(dev=share / 2, test=share / 2))
    assert (alone > 0).tolist() == (both > 0).tolist()


def test_a_document_stays_together_whatever_the_size_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [[f"a{n}", "the", f"b{n}", f"c{n}"] for n in range(60)]
    text = "".join(f"-DOCSTART- O\n\n{conll(words)}" for words in documents)
    place, split = fill(tmp_path / "c", {"all.conll": text}), SentenceSplitParams(dev=0.2, test=0.2, by="document")
    whole = words_of(place, split)
    for found in whole.values():
        cut = [found[first : first + 4] for first in range(0, len(found), 4)]
        assert cut
        assert all(document in documents for document in cut)
    monkeypatch.setattr(text_files, "CHUNK", 50)
    assert words_of(place, split) == whole


def test_sentences_of_no_document_are_split_each_by_itself(tmp_path: Path) -> None:
    place = fill(tmp_path / "c", {"all.conll": conll(NUMBERED)})
    shares = SentenceSplitParams(dev=0.2, test=0.2)
    assert words_of(place, shares) == words_of(place, shares.model_copy(update={"by": "document"}))


TWO: Files = {"train.conll": GOOD, "test.conll": GOOD}
REFUSED: dict[str, tuple[Files, SplitParams | None, str]] = {
    "train and test": (TWO, None, "dev from train by a hash of each example: tuneline run --set data.dir={} --set "
                                  "'data.split={{dev: 0.1}}'"),
    "train and dev": ({"train.conll": GOOD, "dev.conll": GOOD}, None, "--set 'data.split={{test: 0.1}}'"),
    "one file beside test": ({"x.conll": GOOD, "test.conll": GOOD}, None, "--set 'data.split={{dev: 0.1}}'"),
    "a share for what is given": (
        TWO, SplitParams(dev=0.2, test=0.1), "leave out test: tuneline run --set data.dir={} --set "
                                             "'data.split={{dev: 0.2}}'"),
    "a share for the wrong one": (TWO, SplitParams(test=0.1), "leave out test: tuneline run --set data.dir={} --set "
                                                              "'data.split={{dev: 0.1}}'"),
    "one share for one file": (
        {"x.conll": GOOD}, SplitParams(dev=0.3), "no test, and data.split has no share for it. Split it by a hash of "
        "each example: tuneline run --set data.dir={} --set 'data.split={{dev: 0.3, test: 0.1}}'"),
    "no train": ({"dev.conll": GOOD, "test.conll": GOOD}, None, "Give the file of train a name that begins with"),
    "two that may be train": (
        {"x.conll": GOOD, "y.conll": GOOD, "test.conll": GOOD}, SplitParams(dev=0.1), "x.conll, y.conll say no split"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "split", "message"), case_list(REFUSED))
def test_corpus_that_lacks_a_split_is_refused_with_the_command_that_helps(
    tmp_path: Path, files: Files, split: SplitParams | None, message: str
) -> None:
    place = fill(tmp_path / "c", files)
    with pytest.raises(CorpusError) as caught:
        open_corpus(data_params(place, split=split))
    assert message.format(place) in str(caught.value)


@pytest.mark.parametrize("shares", [{}, {"dev": 0.5, "test": 0.5}, {"dev": 1.0}])
def test_split_params_need_a_share_and_leave_train_one(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"share|leave something|less than 1"):
        SplitParams(**shares)


def test_check_shows_train_and_test_and_says_how_to_cut_dev(tmp_path: Path) -> None:
    corpus = open_corpus(data_params(fill(tmp_path / "c", TWO)), allow_unsplit=True)
    diagnostics = Diagnostics()
    found = profile_corpus(corpus, diagnostics, count_tokens=None, context="sentence", on_block=lambda _: None)
    assert list(found.splits) == ["train", "test"]
    (unsplit,) = [each.message for each in diagnostics.kept if each.code == "unsplit"]
    assert unsplit.endswith(f"tuneline run --set data.dir={corpus.place} --set 'data.split={{dev: 0.1}}'")


@pytest.mark.parametrize(
    ("given_name", "shares", "cut", "leaks"),
    [
        ("test", SplitParams(dev=0.3), "dev", {"in-train-and-test", "in-dev-and-test"}),
        ("dev", SplitParams(test=0.3), "test", {"in-train-and-dev", "in-dev-and-test"}),
    ],
)
def test_profile_says_what_was_cut_and_compares_it_with_the_given_split(
    tmp_path: Path, given_name: str, shares: SplitParams, cut: str, leaks: set[str]
) -> None:
    files: Files = {"train.conll": conll(NUMBERED), f"{given_name}.conll": conll(NUMBERED[:50])}
    diagnostics = Diagnostics()
    corpus = open_corpus(data_params(fill(tmp_path / "c", files), split=shares))
    found = profile_corpus(corpus, diagnostics, count_tokens=None, context="sentence", on_block=lambda _: None)
    (note,) = [each.message for each in diagnostics.kept if each.code == "cut-split"]
    assert note == f"{cut} is cut from train: {found.splits[cut].sentences} sentences"
    assert {code for code in diagnostics.counts if code.startswith("in-")} == leaks
    assert sum(diagnostics.counts[code] for code in leaks) == 50
    assert {each.where.rpartition("/")[2].partition(":")[0] for each in diagnostics.kept if each.code in leaks} == {
        f"{given_name}.conll"
    }


@pytest.mark.parametrize("shares", [{"dev": 0.01}, {"dev": 0.001, "test": 0.001}])
def test_each_split_of_a_small_corpus_has_a_sentence(tmp_path: Path, shares: dict[str, float]) -> None:
    files: Files = {"train.conll": conll(["a", "b", "c"] * 20)} | (
        {} if "test" in shares else {"test.conll": conll(["d"])}
    )
    found = words_of(fill(tmp_path / "c", files), SplitParams(**shares))
    assert all(found.values())
    for words, others in combinations(found.values(), 2):
        assert not set(words) & set(others)


@given(
    st.lists(st.integers(0, 2**20 - 1).map(lambda number: number << 44), min_size=1, unique=True),
    st.floats(1e-9, 0.45),
    st.floats(1e-9, 0.45),
)
def test_shares_are_raised_only_where_a_split_would_be_empty(digests: list[int], dev: float, test: float) -> None:
    params, some = SplitParams(dev=dev, test=test), np.array(digests, np.uint64)
    before, after = split_numbers(some, params), split_numbers(some, raise_shares(params, some))
    if {1, 2} <= set(before.tolist()):
        assert (before == after).all()
    elif (some / 2.0**64 >= test).sum() > 2:  # enough that are not test's
        assert {1, 2} <= set(after.tolist())


def test_too_few_distinct_sentences_are_told(tmp_path: Path) -> None:
    files: Files = {"train.conll": conll(["a"] * 100), "test.conll": conll(["c"])}
    diagnostics = Diagnostics()
    corpus = open_corpus(data_params(fill(tmp_path / "c", files), split=SplitParams(dev=0.01)))
    profile_corpus(corpus, diagnostics, count_tokens=None, context="sentence", on_block=lambda _: None)
    (error,) = diagnostics.of("error")
    assert error.message.startswith("no sentence in train. Equal sentences")
    assert error.message.endswith("there is 1 distinct one")
