"""The profiles of real corpora are those of plain Python."""

from collections import Counter
from pathlib import Path

import pytest

from stages.corpus.profile import profile_corpus
from stages.corpus.reading import SplitParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from tests.checkouts import DEMO
from tests.conftest import CORPORA, needs_corpora
from tests.corpus.conftest import data_params
from tests.corpus.test_profile import of, profile_and_diagnostics
from tests.oracles import entities

WNUT17, WIKIGOLD = CORPORA / "wnut17", CORPORA / "wikigold/wikigold.conll.txt"


def read_plainly(path: Path) -> list[tuple[tuple[str, ...], tuple[str, ...], int]]:
    """Words, tags and first line of each sentence, read without our code."""
    sentences: list[tuple[tuple[str, ...], tuple[str, ...], int]] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*path.read_text(encoding="utf-8").split("\n"), ""], start=1):
        if line.strip() and not line.startswith("-DOCSTART-"):
            word, tag = line.split("\t") if "\t" in line else line.split(" ")
            words.append(word)
            tags.append(tag)
        elif words:
            sentences.append((tuple(words), tuple(tags), number - len(words)))
            words, tags = [], []
    return sentences


@needs_corpora
def test_profile_of_wnut17_is_that_of_plain_python() -> None:
    found, diagnostics = profile_and_diagnostics(WNUT17)
    splits = {name: read_plainly(WNUT17 / f"{name}.conll") for name in ("train", "dev", "test")}
    assert [found.splits[name].sentences for name in splits] == [3394, 1009, 1287]
    texts = {
        name: {
            " ".join(words[start:end]).lower()
            for words, tags, _ in sentences
            for _, start, end in entities(tags, strict=False)
        }
        for name, sentences in splits.items()
    }
    figures = found.to_json(window=256)["splits"]
    for name, sentences in splits.items():
        kinds = Counter(kind for _, tags, _ in sentences for kind, _, _ in entities(tags, strict=False))
        assert figures[name]["sentences"] == len(sentences)
        assert figures[name]["words"] == sum(len(words) for words, _, _ in sentences)
        assert figures[name]["entities"] == dict(sorted(kinds.items()))
        if name != "train":
            unseen = len(texts[name] - texts["train"]) / len(texts[name])
            assert figures[name]["unseen_entities"] == pytest.approx(unseen, abs=0)
    assert "unseen_entities" not in figures["train"]
    for earlier, later in (("train", "dev"), ("train", "test"), ("dev", "test")):
        known = {words for words, _, _ in splits[earlier]}
        again = [
            (f"{WNUT17}/{later}.conll:{line}", f"also in {earlier}: {' '.join(words)[:80]!r}")
            for words, _, line in splits[later]
            if words in known
        ]
        assert of(diagnostics, f"in-{earlier}-and-{later}") == again[:20]
        assert diagnostics.counts[f"in-{earlier}-and-{later}"] == len(again)


@needs_corpora
def test_profile_of_wikigold_is_that_of_plain_python() -> None:
    found, diagnostics = profile_and_diagnostics(WIKIGOLD)
    sentences = read_plainly(WIKIGOLD)
    figures = found.to_json(window=256)["splits"]["all"]
    kinds = Counter(kind for _, tags, _ in sentences for kind, _, _ in entities(tags, strict=False))
    assert found.reader.scheme == "IOB1"
    assert figures["sentences"] == len(sentences) == 1696
    assert figures["documents"] == 145
    assert figures["words"] == sum(len(words) for words, _, _ in sentences)
    assert figures["entities"] == dict(sorted(kinds.items()))
    assert not diagnostics.of("error")


@needs_corpora
def test_profile_of_wikigold_split_by_a_hash_has_all_of_it_once() -> None:
    found, diagnostics = profile_and_diagnostics(WIKIGOLD, split=SplitParams(dev=0.1, test=0.1))
    assert sum(split.sentences for split in found.splits.values()) == 1696
    assert not [code for code in diagnostics.counts if code.startswith("in-")]


def test_profile_of_the_demo_finds_no_error(tiny_pretrained: Path) -> None:
    vocabulary, diagnostics = Vocabulary(load_tokenizer(tiny_pretrained)), Diagnostics()
    corpus = open_corpus(data_params(DEMO))
    found = profile_corpus(
        corpus, diagnostics, count_tokens=vocabulary.look_up, context="sentence", on_block=lambda _: None
    )
    assert not diagnostics.of("error")
    assert all(split.length_at(1.0) >= split.length_at(0.5) > 3 for split in found.splits.values())
