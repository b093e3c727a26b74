"""Error analysis of one split: what kinds of mistakes there are, where they are, and how confident the model was."""

from typing import Any

import numpy as np
import pyarrow as pa

from stages.tasks.token_classification import mistakes
from stages.tasks.token_classification.entities import Entities
from stages.tasks.token_classification.mistakes import MISSED, RELATIONS, SPURIOUS
from stages.tasks.token_classification.predictions import Predictions

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
        "transitions": [
            {"before": before, "tag": tag, "count": count}
            for (before, tag), count in predictions.predicted.invalid_transitions().items()
        ],
        "reliability": mistakes.reliability(score_E, predicted.is_in(gold)),
        "mistakes": listed[:MAX_MISTAKES],
        "mistake_count": len(listed),
    }


def error_metrics(analysis: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an error analysis that can be compared between runs."""
    return {name: analysis[name] for name in ("sentences", "words", "errors", "seen")} | {
        "calibration_error": analysis["reliability"]["error"],
        "invalid_transitions": sum(entry["count"] for entry in analysis["transitions"]),
    }


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """List the sentences with a mistake, by the highest score of a wrong entity, descending.

    Each has its number from 1, words, gold and predicted entities (type, first word, word after the last, and the score
    of predicted ones), the kinds of its mistakes and the types that they concern.
    """
    gold, predicted = (side.entities(strict=True) for side in (predictions.gold, predictions.predicted))
    of_gold, of_predicted = mistakes.match_entities(gold, predicted, len(predictions.probability_W))
    score_E = mistakes.entity_scores(predicted, predictions.probability_W)
    wrong_gold, wrong_predicted = of_gold.relation_E > 0, of_predicted.relation_E > 0
    confidence_S = np.zeros(predictions.gold.sentences)
    np.maximum.at(confidence_S, predicted.sentence_E[wrong_predicted], score_E[wrong_predicted])
    sentences = np.union1d(gold.sentence_E[wrong_gold], predicted.sentence_E[wrong_predicted])
    types, bounds = predictions.gold.types, predictions.gold.bounds
    listed = []
    for sentence in sentences[np.argsort(-confidence_S[sentences], kind="stable")].tolist():
        own_gold, own_predicted = (
            range(*np.searchsorted(side.sentence_E, [sentence, sentence + 1])) for side in (gold, predicted)
        )
        first = bounds[sentence]
        wrong = [(gold, of_gold, MISSED, e) for e in own_gold if wrong_gold[e]]
        wrong += [(predicted, of_predicted, SPURIOUS, e) for e in own_predicted if wrong_predicted[e]]
        listed.append(
            {
                "sentence": sentence + 1,
                "words": predictions.words[sentence].as_py(),
                "gold": [_entity(gold, e, first, types) for e in own_gold],
                "predicted": [[*_entity(predicted, e, first, types), float(score_E[e])] for e in own_predicted],
                "kinds": sorted(
                    {(*RELATIONS, unmatched)[matching.relation_E[e]] for _, matching, unmatched, e in wrong}
                ),
                "types": sorted({types[side.type_E[e]] for side, _, _, e in wrong}),
                "confidence": float(confidence_S[sentence]),
            }
        )
    return listed


def _entity(entities: Entities, number: int, first: int, types: tuple[str, ...]) -> list[Any]:
    """Type, first word and word after the last, counted within the sentence, which begins with the word `first`."""
    return [
        types[entities.type_E[number]],
        int(entities.first_E[number] - first),
        int(entities.after_E[number] - first),
    ]
