"""Error analysis of one split: what kinds of mistakes there are, where they are, and how confident the model was."""

from typing import Any

import pyarrow as pa

from stages.statistics.calibration import reliability
from stages.tasks.token_classification.scores import mistakes
from stages.tasks.token_classification.scores.mistake_list import list_mistakes
from stages.tasks.token_classification.scores.predictions import Predictions

MAX_MISTAKES = 500  # sentences of a split in the report, which must stay a readable page


def analyze_errors(predictions: Predictions, train_surfaces: pa.Array) -> dict[str, Any]:
    """What the report says of a split beyond its scores; see the functions of mistakes.py for each key.

    `train_surfaces` are the words of all entities of train. `mistakes` holds at most the first 500 of `mistake_count`.
    """
    gold, predicted = (side.entities(strict=True) for side in (predictions.gold, predictions.predicted))
    types = predictions.gold.types
    of_gold, of_predicted = mistakes.match_entities(gold, predicted, len(predictions.probability_W))
    score_E = mistakes.entity_scores(predicted, predictions.probability_W)
    listed = list_mistakes(predictions)
    return {
        "sentences": predictions.gold.sentences,
        "words": len(predictions.probability_W),
        "errors": mistakes.count_kinds(of_gold, of_predicted),
        "confusion": mistakes.confusion(types, gold, predicted, of_gold, of_predicted),
        "seen": mistakes.seen_recall(gold, predicted, mistakes.surfaces(gold, predictions.words), train_surfaces),
        "by_entity_length": mistakes.by_entity_length(gold, predicted),
        "by_sentence_length": mistakes.by_sentence_length(gold, predicted, predictions.gold),
        "reliability": reliability(score_E, predicted.is_in(gold)),
        "mistakes": listed[:MAX_MISTAKES],
        "mistake_count": len(listed),
    }


def error_metrics(analysis: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an error analysis that can be compared between runs."""
    return {name: analysis[name] for name in ("sentences", "words", "errors", "seen")} | {
        "calibration_error": analysis["reliability"]["error"],
    }
