from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from stages.tasks.token_classification.report.error_analysis import analyze_errors, error_metrics
from stages.tasks.token_classification.scores import mistakes
from stages.tasks.token_classification.scores.entities import taggings
from stages.tasks.token_classification.scores.predictions import Predictions
from tests.tasks.token_classification.conftest import SENTENCE_PAIRS, Pairs, sides

GOLD = "B-PER I-PER O B-LOC O B-ORG I-ORG O"


def predictions(*pairs: tuple[str, str], words: list[str] | None = None, probability: float = 0.5) -> Predictions:
    """Predictions for sentences whose words, if not given, are w0, w1 and so on."""
    gold, predicted = ([side.split() for side in column] for column in zip(*pairs, strict=True))
    texts = [words or [f"w{number}" for number in range(len(tags))] for tags in gold]
    of_gold, of_predicted = taggings(gold, predicted)
    count = sum(map(len, gold))
    return Predictions(pa.array(texts), of_gold, of_predicted, np.full(count, probability, np.float32))


def analysis(*pairs: tuple[str, str], **options: Any) -> dict[str, Any]:
    return analyze_errors(predictions(*pairs, **options), pa.array([], pa.string()))


@pytest.mark.parametrize(
    ("predicted", "of_gold", "of_predicted"),
    [
        (GOLD, {"correct": 3}, {"correct": 3}),
        ("O O O O O O O O", {"missed": 3}, {}),
        ("B-PER I-PER O B-ORG O B-ORG I-ORG O", {"correct": 2, "type": 1}, {"correct": 2, "type": 1}),
        ("B-PER O O B-LOC O B-ORG I-ORG I-ORG", {"correct": 1, "boundary": 2}, {"correct": 1, "boundary": 2}),
        ("B-LOC O O B-LOC O O O B-PER", {"correct": 1, "boundary_and_type": 1, "missed": 1},
         {"correct": 1, "boundary_and_type": 1, "spurious": 1}),
        # Two parts of one entity: one mistake on the gold side, two on the predicted side.
        ("B-PER B-PER O B-LOC O B-ORG I-ORG O", {"correct": 2, "boundary": 1}, {"correct": 2, "boundary": 2}),
        # One entity over two gold ones: that of its type is a boundary, the other both.
        ("B-PER I-PER I-PER I-PER O B-ORG I-ORG O", {"correct": 1, "boundary": 1, "boundary_and_type": 1},
         {"correct": 1, "boundary": 1}),
        # An I- opens no entity in the strict reading.
        ("I-PER I-PER O B-LOC O B-ORG I-ORG O", {"correct": 2, "missed": 1}, {"correct": 2}),
    ],
)  # fmt: skip
def test_each_entity_has_the_kind_of_its_best_partner(
    predicted: str, of_gold: dict[str, int], of_predicted: dict[str, int]
) -> None:
    errors = analysis((GOLD, predicted))["errors"]
    assert {kind: count for kind, count in errors["of_gold"].items() if count} == of_gold
    assert {kind: count for kind, count in errors["of_predicted"].items() if count} == of_predicted


@given(SENTENCE_PAIRS)
def test_kinds_sum_to_the_entities_and_as_many_are_correct_on_both_sides(pairs: Pairs) -> None:
    gold, predicted = (side.entities(strict=True) for side in taggings(*sides(pairs)))
    words = sum(map(len, pairs))
    errors = mistakes.count_kinds(*mistakes.match_entities(gold, predicted, words))
    assert sum(errors["of_gold"].values()) == len(gold)
    assert sum(errors["of_predicted"].values()) == len(predicted)
    assert errors["of_gold"]["correct"] == errors["of_predicted"]["correct"] == gold.is_in(predicted).sum()
    # An entity is missed or spurious exactly if it shares no word with any.
    for one, other, name, unmatched in (
        (gold, predicted, "of_gold", "missed"), (predicted, gold, "of_predicted", "spurious"),
    ):  # fmt: skip
        taken = set(other.words[1].tolist())
        spans = [range(first, after) for first, after in zip(one.first_E, one.after_E, strict=True)]
        assert errors[name][unmatched] == sum(taken.isdisjoint(span) for span in spans)


def test_confusion_counts_gold_types_by_what_was_predicted_in_their_place() -> None:
    table = analysis((GOLD, "B-LOC I-LOC O B-LOC O O O B-ORG"))["confusion"]
    assert table["types"] == ["LOC", "ORG", "PER", "nothing"]
    assert table["counts"] == [[1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]


def test_recall_separates_entities_of_train_from_new_ones_by_their_words_as_written() -> None:
    tags = "B-PER I-PER O B-LOC O B-LOC"
    words = ["New", "York", "and", "Rome", "and", "rome"]
    scored = predictions((tags, "B-PER I-PER O B-LOC O O"), words=words)
    assert analyze_errors(scored, pa.array(["New York", "Rome"]))["seen"] == {
        "seen": {"recall": 1.0, "support": 2},
        "unseen": {"recall": 0.0, "support": 1},
    }


def test_scores_by_length_are_those_of_the_entities_and_sentences_of_that_length() -> None:
    long = "O " * 20 + "B-PER"
    found = analysis((GOLD, GOLD), (long, "O " * 20 + "O"))
    by_entity = {row["length"]: (row["recall"], row["support"]) for row in found["by_entity_length"]}
    assert by_entity == {"1": (0.5, 2), "2": (1.0, 2), "3": (0, 0), "4": (0, 0), "5+": (0, 0)}
    by_sentence = {row["length"]: (row["f1"], row["support"]) for row in found["by_sentence_length"]}
    assert by_sentence == {"1-10": (1, 3), "11-20": (0, 0), "21-30": (0, 1), "31-40": (0, 0), "41+": (0, 0)}


def test_calibration_compares_scores_of_entities_with_how_often_they_are_right() -> None:
    table = analysis((GOLD, "B-PER I-PER O B-LOC O O O B-ORG"), probability=0.95)["reliability"]
    (entry,) = table["bins"]
    assert (entry["low"], entry["high"], entry["count"]) == (0.9, 1.0, 3)
    assert (entry["score"], entry["precision"]) == (pytest.approx(0.95), pytest.approx(2 / 3))
    assert table["error"] == pytest.approx(0.95 - 2 / 3)


def test_the_score_of_an_entity_is_the_mean_over_its_words() -> None:
    (tagging,) = taggings([["B-PER", "I-PER", "O", "B-LOC"]])
    scores = mistakes.entity_scores(tagging.entities(strict=True), np.array([0.5, 1.0, 0.1, 0.25], np.float32))
    assert scores.tolist() == [0.75, 0.25]


def test_mistakes_are_listed_with_kinds_and_types_the_most_confident_first() -> None:
    scored = predictions(
        (GOLD, GOLD),
        (GOLD, "B-PER I-PER O B-ORG O B-ORG I-ORG O"),
        (GOLD, "O O O B-LOC O B-ORG I-ORG O"),
        (GOLD, "B-PER I-PER O B-LOC O B-ORG I-ORG B-LOC"),
    )
    scored.probability_W[:] = np.linspace(0.1, 0.9, 32)
    found = analyze_errors(scored, pa.array([], pa.string()))
    assert [entry["example"] for entry in found["mistakes"]] == [4, 2, 3]
    assert [entry["kinds"] for entry in found["mistakes"]] == [["spurious"], ["type"], ["missed"]]
    assert [entry["labels"] for entry in found["mistakes"]] == [["LOC"], ["LOC", "ORG"], ["PER"]]
    assert found["mistakes"][0]["predicted"][-1] == ["LOC", 7, 8, pytest.approx(0.9)]
    assert found["mistakes"][2]["gold"][0] == ["PER", 0, 2]
    assert found["mistakes"][2]["confidence"] == 0
    assert found["mistake_count"] == 3


def test_error_metrics_are_numbers_that_mlflow_and_dvc_can_compare() -> None:
    metrics = error_metrics(analysis((GOLD, "I-PER I-PER O B-LOC O O O B-ORG")))
    assert (metrics["sentences"], metrics["words"]) == (1, 8)

    def leaves(tree: Any) -> list[Any]:
        return [leaf for value in tree.values() for leaf in leaves(value)] if isinstance(tree, dict) else [tree]

    assert all(isinstance(leaf, int | float) for leaf in leaves(metrics))
    assert all(type(leaf) in (int, float) for leaf in leaves(metrics))


def test_a_split_without_entities_has_an_empty_analysis() -> None:
    found = analysis(("O O", "O O"))
    assert found["mistakes"] == found["reliability"]["bins"] == []
    assert found["confusion"]["counts"] == [[0]]
