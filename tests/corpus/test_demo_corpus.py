import re

import pytest

from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import TagReader
from stages.corpus.text.sentences import Sentence
from tests.checkouts import DEMO
from tests.corpus.conftest import data_params, read
from tests.oracles import entities

AT_LEAST = {"train": 1200, "dev": 250, "test": 250}


Splits = dict[str, list[Sentence]]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return read(open_corpus(data_params(DEMO)))


def forms(sentences: list[Sentence]) -> set[str]:
    return {" ".join(s.words[start:end]).lower() for s in sentences for _, start, end in entities(s.tags, strict=True)}


def test_demo_corpus_is_large_enough_and_iob2(splits: Splits) -> None:
    assert all(len(splits[split]) >= count for split, count in AT_LEAST.items())
    reader, diagnostics = TagReader(), Diagnostics()
    for block, _ in open_corpus(data_params(DEMO)).blocks(diagnostics):
        reader.learn(block)
    reader.report(diagnostics)
    assert reader.scheme == "IOB2"
    assert set(reader.types) == {"PER", "ORG", "LOC", "MISC"}
    assert not diagnostics.kept


def test_demo_corpus_has_no_sentence_twice(splits: Splits) -> None:
    sentences = [" ".join(s.words).lower() for split in splits.values() for s in split]
    assert len(set(sentences)) == len(sentences)


def test_demo_corpus_has_no_skeleton_thrice(splits: Splits) -> None:
    """Sentences with their entities masked: a template would show as one skeleton with many fillings."""
    skeletons = [
        tuple(word if tag == "O" else tag[2:] for word, tag in zip(s.words, s.tags, strict=True))
        for split in splits.values()
        for s in split
        if len(s.words) > 6
    ]
    assert len(set(skeletons)) >= len(skeletons) - 2


def test_demo_corpus_varies_in_length_of_sentences_and_entities(splits: Splits) -> None:
    sentences = [s for split in splits.values() for s in split]
    lengths = [len(s.words) for s in sentences]
    assert min(lengths) == 3
    assert 50 <= max(lengths) <= 60
    entity_lengths = {end - start for s in sentences for _, start, end in entities(s.tags, strict=True)}
    assert entity_lengths == {1, 2, 3, 4, 5, 6}
    assert sum(set(s.tags) == {"O"} for s in sentences) > 0.1 * len(sentences)


def test_demo_corpus_test_entities_are_mostly_unseen_in_train(splits: Splits) -> None:
    test = forms(splits["test"])
    assert len(test - forms(splits["train"])) >= 0.5 * len(test)


def test_demo_corpus_readme_states_the_counts(splits: Splits) -> None:
    readme = (DEMO / "README.md").read_text(encoding="utf-8")
    for split, sentences in splits.items():
        row = re.search(rf"\| {split}\.conll \|(.*)\|", readme)
        assert row
        found = [entity for s in sentences for entity in entities(s.tags, strict=True)]
        numbers = [
            len(sentences),
            sum(len(s.words) for s in sentences),
            *(sum(kind == name for kind, _, _ in found) for name in ("PER", "ORG", "LOC", "MISC")),
            sum(set(s.tags) == {"O"} for s in sentences),
        ]
        assert [int(cell.replace(",", "")) for cell in row[1].split("|")] == numbers
