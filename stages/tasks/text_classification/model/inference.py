"""Labels and calibrated probabilities from the logits of the model.

Shape legend: E examples, C labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.encoding.texts import EncodedTexts
from stages.statistics.calibration import sigmoid, softmax
from stages.statistics.measure import Floats, Truths
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import predict_one, predict_several
from stages.text_tasks.predictions import examples_of


def decide(logits_EC: Floats, texts: EncodedTexts, labels: Sequence[str], decision: Mapping[str, Any]) -> Predictions:
    """The labels that these logits stand for: the most probable one, or those whose probability reaches a threshold."""
    temperature, thresholds = decision["temperature"], decision["thresholds"]
    if thresholds is None:
        probability_EC = softmax(logits_EC, temperature)
        predicted_EC = predict_one(probability_EC)
    else:
        probability_EC = sigmoid(logits_EC, temperature)
        predicted_EC = predict_several(probability_EC, tuple(thresholds))
    return Predictions(
        **examples_of(texts),
        labels=tuple(labels),
        gold_EC=mark_labels(texts, len(labels)),
        probability_EC=probability_EC,
        predicted_EC=predicted_EC,
        thresholds=None if thresholds is None else tuple(thresholds),
        temperature=temperature,
    )


def mark_labels(texts: EncodedTexts, count: int) -> Truths:
    """[E, C] whether each text has each label; none where the answers are not known."""
    gold_EC = np.zeros((len(texts.first_rows), count), dtype=bool)
    if texts.answers is not None:
        answers = texts.example_answers
        example = np.repeat(np.arange(len(answers)), answers.value_lengths().to_numpy(zero_copy_only=False))
        gold_EC[example, answers.flatten().to_numpy()] = True
    return gold_EC
