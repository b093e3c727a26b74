"""Texts whose labels are probably wrong; see `Suspects` in stages/dynamics/suspects.py.

Of a text with several labels the most doubtful one counts, whether it is given or missing.

Shape legend: R rows of a split, E examples, C labels.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stages.dynamics.files import Dynamics
from stages.dynamics.suspects import Doubts
from stages.encoding.files import Manifest
from stages.encoding.texts import read_texts
from stages.tasks.text_classification.model.inference import mark_labels
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.text_tasks.predictions import show_texts
from stages.text_tasks.suspects import PROBABLE, average_rows, choose, least_rows, show_text


def doubt_train(encoded: Path, manifest: Manifest, dynamics: Dynamics) -> Doubts:
    """The doubts about the labels of train, and the label that is likely, or the most doubtful of several."""
    texts, labels = read_texts(encoded, "train"), manifest.labels
    confidence_R = dynamics.confidence_O.astype(np.float64)
    given_EC = mark_labels(texts, len(labels))
    likely_E = dynamics.predicted_OV[least_rows(texts, confidence_R), 0].astype(np.int64)
    likely_EC = np.arange(len(labels)) == likely_E[:, None]
    if manifest.details["multi_label"]:
        likely_EC ^= given_EC

    def show(example: int) -> dict[str, Any]:
        answers = {"given": choose(labels, given_EC[example]), "likely": choose(labels, likely_EC[example])}
        return show_text(texts, example) | answers

    return Doubts(1 - average_rows(texts, confidence_R), PROBABLE, show)


def doubt_predictions(predictions: Predictions) -> Doubts:
    """The doubts about the labels that are not as predicted."""
    gold_EC, labels = predictions.gold_EC, predictions.labels
    differs_EC = gold_EC != predictions.predicted_EC
    if not predictions.is_multi_label:
        differs_EC &= gold_EC  # the predicted label is no doubt of its own
    probability_EC = predictions.probability_EC.astype(np.float64)
    doubt_EC = np.where(differs_EC, np.where(gold_EC, 1 - probability_EC, probability_EC), 0.0)

    def show(example: int) -> dict[str, Any]:
        likely_C = predictions.predicted_EC[example]
        answers = {"given": choose(labels, gold_EC[example]), "likely": choose(labels, likely_C)}
        return show_texts(predictions, example) | answers

    return Doubts(doubt_EC.max(1, initial=0.0), PROBABLE, show)
