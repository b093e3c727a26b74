"""All that is told of one split beyond its scores: the kinds of mistakes, where they are, how sure the model was."""

from typing import Any

import numpy as np
import pyarrow as pa

from stages.tasks.token_classification import mistakes
from stages.tasks.token_classification.entities import Entities
from stages.tasks.token_classification.mistakes import MISSED, RELATIONS, SPURIOUS
from stages.tasks.token_classification.predictions import Predictions

SHOWN_MISTAKES = 500  # sentences of a split in the report, so that it stays a page and not a database


def diagnose(predictions: Predictions, train_surfaces: pa.Array) -> dict[str, Any]:
    """The parts of a split of the report (see report.py) that are no scores.

    `train_surfaces` are the words of all entities of train.
    """
    gold, predicted = (side.entities(strict=True) for side in (predictions.gold, predictions.predicted))
    types = predictions.gold.types
    of_gold, of_predicted = mistakes.matched(gold, predicted, len(predictions.probability_W))
    score_E = mistakes.entity_scores(predicted, predictions.probability_W)
    listed = list_mistakes(predictions)
    return {
        "sentences": predictions.gold.sentences,
        "words": len(predictions.probability_W),
        "errors": mistakes.kinds(of_gold, of_predicted),
        "confusion": mistakes.confusion(types, gold, predicted, of_gold, of_predicted),
        "seen": mistakes.seen_recall(gold, predicted, mistakes.surfaces(gold, predictions.words), train_surfaces),
        "by_entity_length": mistakes.by_entity_length(gold, predicted),
        "by_sentence_length": mistakes.by_sentence_length(gold, predicted, predictions.gold),
        "transitions": [
            {"before": before, "tag": tag, "count": count}
            for (before, tag), count in predictions.predicted.invalid_transitions().items()
        ],
        "reliability": mistakes.reliability(score_E, predicted.also_in(gold)),
        "mistakes": listed[:SHOWN_MISTAKES],
        "mistake_count": len(listed),
    }


def figures(diagnosis: dict[str, Any]) -> dict[str, Any]:
    """What of a diagnosis is a figure to compare between runs."""
    return {name: diagnosis[name] for name in ("sentences", "words", "errors", "seen")} | {
        "calibration_error": diagnosis["reliability"]["error"],
        "invalid_transitions": sum(entry["count"] for entry in diagnosis["transitions"]),
    }


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """The sentences with a mistake, that in which the model was surest of a wrong entity first.

    Each with its number from 1, words, entities (type, first word, word after the last, and the score of predicted
    ones), the kinds of its mistakes and the types they are about.
    """
    gold, predicted = (side.entities(strict=True) for side in (predictions.gold, predictions.predicted))
    of_gold, of_predicted = mistakes.matched(gold, predicted, len(predictions.probability_W))
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
                "kinds": sorted({(*RELATIONS, alone)[matching.relation_E[e]] for _, matching, alone, e in wrong}),
                "types": sorted({types[side.type_E[e]] for side, _, _, e in wrong}),
                "confidence": float(confidence_S[sentence]),
            }
        )
    return listed


def _entity(entities: Entities, number: int, first: int, types: tuple[str, ...]) -> list[Any]:
    """Type, first word and word after the last, counted within the sentence that begins with the word `first`."""
    return [
        types[entities.type_E[number]],
        int(entities.first_E[number] - first),
        int(entities.after_E[number] - first),
    ]
