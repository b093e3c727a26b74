import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.conll import read_conll
from stages.corpus.schemes import recognise, to_iob2
from stages.corpus.sentences import Sentence
from stages.scoring.entities import entities
from tests.conftest import CORPORA, needs_corpora

TAG_SEQUENCES = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=12)


@pytest.mark.parametrize(
    ("iob1", "iob2"),
    [
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER I-LOC", "B-PER B-LOC"),
        ("B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC"),
        ("B-PER I-LOC I-LOC", "B-PER B-LOC I-LOC"),
    ],
)
def test_to_iob2_opens_each_entity_with_b(iob1: str, iob2: str) -> None:
    assert to_iob2(iob1.split()) == tuple(iob2.split())


@given(TAG_SEQUENCES)
def test_to_iob2_keeps_the_entities_and_is_then_strict(tags: list[str]) -> None:
    converted = to_iob2(tags)
    assert entities(converted, strict=True) == entities(tags, strict=False)
    assert to_iob2(converted) == converted


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [("I-PER O", "IOB1"), ("O B-PER I-PER", "IOB2"), ("B-PER I-LOC", "IOB1"), ("O O", "IOB2")],
)
def test_recognise_tells_iob1_by_an_entity_that_opens_with_i(tags: str, scheme: str) -> None:
    assert recognise([Sentence(("w",) * len(tags.split()), tuple(tags.split()), 1)]) == scheme


@needs_corpora
@pytest.mark.parametrize(("file", "scheme"), [("wikigold/wikigold.conll.txt", "IOB1"), ("wnut17/train.conll", "IOB2")])
def test_recognise_knows_the_schemes_of_real_corpora(file: str, scheme: str) -> None:
    assert recognise(read_conll(CORPORA / file)) == scheme
