import numpy as np
import pytest
from hypothesis import given

from stages.tasks.token_classification.scores.entities import Tagging, strict_f1, taggings
from stages.tasks.token_classification.scores.metric import scores
from tests import oracles
from tests.tasks.token_classification.conftest import SENTENCE_PAIRS, Pairs, sides


def extract(tagging: Tagging, *, strict: bool) -> list[list[tuple[str, int, int]]]:
    """Entities of each sentence, counted within it."""
    listed: list[list[tuple[str, int, int]]] = [[] for _ in range(tagging.sentences)]
    entities = tagging.entities(strict=strict)
    for first, after, kind, sentence in zip(
        entities.first_E, entities.after_E, entities.type_E, entities.sentence_E, strict=True
    ):
        start = tagging.bounds[sentence]
        listed[sentence].append((tagging.types[kind], int(first - start), int(after - start)))
    return listed


@pytest.mark.parametrize(
    ("tags", "strict", "conlleval"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)], [("PER", 0, 2), ("LOC", 3, 4)]),
        ("I-PER I-PER", [], [("PER", 0, 2)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 1)], [("PER", 0, 1), ("LOC", 1, 3)]),
        ("B-PER I-LOC I-PER", [("PER", 0, 1)], [("PER", 0, 1), ("LOC", 1, 2), ("PER", 2, 3)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)], [("PER", 0, 1), ("PER", 1, 2)]),
    ],
)
def test_invalid_tags_are_read_as_each_reading_says(
    tags: str, strict: list[tuple[str, int, int]], conlleval: list[tuple[str, int, int]]
) -> None:
    (tagging,) = taggings([tags.split()])
    assert extract(tagging, strict=True) == [strict]
    assert extract(tagging, strict=False) == [conlleval]


@given(SENTENCE_PAIRS)
def test_entities_are_those_of_a_plain_loop_over_each_sentence(pairs: Pairs) -> None:
    for side, tagging in zip(sides(pairs), taggings(*sides(pairs)), strict=True):
        for strict in (True, False):
            assert extract(tagging, strict=strict) == [oracles.entities(tags, strict=strict) for tags in side]


@given(SENTENCE_PAIRS)
def test_is_in_marks_the_entities_that_the_other_side_has(pairs: Pairs) -> None:
    gold, predicted = taggings(*sides(pairs))
    one, other = gold.entities(strict=True), predicted.entities(strict=True)
    expected = [
        entity in theirs
        for mine, theirs in zip(extract(gold, strict=True), extract(predicted, strict=True), strict=True)
        for entity in mine
    ]
    assert one.is_in(other).tolist() == expected


def test_words_of_entities_come_with_the_number_of_their_entity() -> None:
    (tagging,) = taggings([["O", "B-PER", "I-PER"], ["B-LOC"]])
    entity, word = tagging.entities(strict=True).words
    assert entity.tolist() == [0, 0, 1]
    assert word.tolist() == [1, 2, 3]


@given(SENTENCE_PAIRS)
def test_strict_f1_is_the_micro_figure_of_the_table(pairs: Pairs) -> None:
    gold, predicted = taggings(*sides(pairs))
    assert strict_f1(gold, predicted) == scores(gold, predicted)["entity_strict"]["micro"]["f1"]


def test_a_tagging_without_words_has_no_entities() -> None:
    tagging = Tagging(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64), ("O", "B-PER"))
    assert len(tagging.entities(strict=True)) == 0
    assert strict_f1(tagging, tagging) == 0
