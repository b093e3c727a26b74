import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from stages.scoring.entities import entities, scores, strict_f1

TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-creative-work", "I-creative-work"])
SENTENCE_PAIRS = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=10), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("tags", "strict", "lenient"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)], [("PER", 0, 2), ("LOC", 3, 4)]),
        ("I-PER I-PER", [], [("PER", 0, 2)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 1)], [("PER", 0, 1), ("LOC", 1, 3)]),
        ("B-PER I-LOC I-PER", [("PER", 0, 1)], [("PER", 0, 1), ("LOC", 1, 2), ("PER", 2, 3)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)], [("PER", 0, 1), ("PER", 1, 2)]),
    ],
)
def test_entities_reads_invalid_tags_as_each_reading_says(
    tags: str, strict: list[tuple[str, int, int]], lenient: list[tuple[str, int, int]]
) -> None:
    assert entities(tags.split(), strict=True) == strict
    assert entities(tags.split(), strict=False) == lenient


@settings(deadline=None)
@given(SENTENCE_PAIRS)
def test_entities_agree_with_seqeval_in_both_readings(pairs: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in sentence] for sentence in pairs]
    predicted = [[p for _, p in sentence] for sentence in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for strict, options in ((True, {"mode": "strict", "scheme": IOB2}), (False, {})):
            found = [
                (set(entities(g, strict=strict)), set(entities(p, strict=strict)))
                for g, p in zip(gold, predicted, strict=True)
            ]
            correct, in_gold, in_predicted = (
                sum(len(g & p) for g, p in found),
                sum(len(g) for g, _ in found),
                sum(len(p) for _, p in found),
            )
            if not in_gold and not in_predicted:
                continue  # seqeval has no table for that
            micro = classification_report(gold, predicted, output_dict=True, zero_division=0, **options)["micro avg"]
            assert micro["recall"] == (correct / in_gold if in_gold else 0)
            assert micro["precision"] == (correct / in_predicted if in_predicted else 0)
            assert micro["support"] == in_gold


def test_scores_hold_each_table_under_its_own_name() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"]]
    predicted = [["B-PER", "I-PER", "O", "I-LOC"], ["O", "O"]]
    table = scores(gold, predicted)
    assert table["entity_strict"]["micro"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert table["entity_strict"]["per_type"]["LOC"]["f1"] == 0
    assert table["entity_conlleval"]["micro"]["f1"] == 1
    assert table["token"]["per_tag"]["I-PER"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    assert table["token"]["without_O"]["micro"]["support"] == 3
    assert table["token"]["with_O"]["micro"]["f1"] == pytest.approx(5 / 6)


@pytest.mark.parametrize("predicted", [["O", "O"], ["B-PER", "O"]])
def test_scores_of_a_split_without_entities_are_zero_not_an_error(predicted: list[str]) -> None:
    table = scores([["O", "O"]], [predicted])
    assert table["entity_strict"]["micro"]["f1"] == 0
    assert table["entity_strict"]["micro"]["support"] == 0


def test_strict_f1_is_the_micro_figure_of_the_table() -> None:
    gold, predicted = [["B-PER", "O", "B-LOC"]], [["B-PER", "O", "B-PER"]]
    assert strict_f1(gold, predicted) == scores(gold, predicted)["entity_strict"]["micro"]["f1"]
