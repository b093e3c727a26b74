"""The sentences in which a tagger was wrong."""

from typing import Any

import numpy as np

from stages.tasks.token_classification.scores.entities import Entities
from stages.tasks.token_classification.scores.mistakes import (
    MISSED,
    RELATIONS,
    SPURIOUS,
    entity_scores,
    match_entities,
)
from stages.tasks.token_classification.scores.predictions import Predictions


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """List the sentences with a mistake, by the highest score of a wrong entity, descending.

    Each has its number from 1, words, gold and predicted entities (type, first word, word after the last, and the score
    of predicted ones), the kinds of its mistakes and the types that they concern.
    """
    gold, predicted = (side.entities(strict=True) for side in (predictions.gold, predictions.predicted))
    of_gold, of_predicted = match_entities(gold, predicted, len(predictions.probability_W))
    score_E = entity_scores(predicted, predictions.probability_W)
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
                "example": sentence + 1,
                "words": predictions.words[sentence].as_py(),
                "gold": [_entity(gold, e, first, types) for e in own_gold],
                "predicted": [[*_entity(predicted, e, first, types), float(score_E[e])] for e in own_predicted],
                "kinds": sorted(
                    {(*RELATIONS, unmatched)[matching.relation_E[e]] for _, matching, unmatched, e in wrong}
                ),
                "labels": sorted({types[side.type_E[e]] for side, _, _, e in wrong}),
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
