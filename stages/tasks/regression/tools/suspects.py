"""Texts whose numbers are probably wrong; see `Suspects` in stages/dynamics/suspects.py.

Of a text with several numbers the one that is furthest from the model's counts.

Shape legend: R rows of a split, E examples, D targets.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stages.dynamics.files import Dynamics
from stages.dynamics.suspects import Doubts, Floats
from stages.encoding.files import Manifest
from stages.encoding.texts import read_texts
from stages.tasks.regression.model.inference import read_numbers
from stages.tasks.regression.scores.predictions import Predictions
from stages.text_tasks.predictions import show_texts
from stages.text_tasks.suspects import average_rows, show_text

FAR = 1.0  # standard deviations of the gold numbers from which on a number is suspect


def doubt_train(encoded: Path, manifest: Manifest, dynamics: Dynamics) -> Doubts:
    """The doubts about the numbers of train, and those that the model held for likely in the last epoch."""
    texts, targets, details = read_texts(encoded, "train"), manifest.labels, manifest.details
    given_ED = read_numbers(texts, len(targets))
    standard_ED = np.stack([average_rows(texts, column_R) for column_R in dynamics.predicted_OV.T], 1)
    likely_ED = standard_ED * np.array(details["deviations"]) + np.array(details["means"])

    def show(example: int) -> dict[str, Any]:
        return show_text(texts, example) | _show(targets, given_ED[example], likely_ED[example])

    return Doubts(average_rows(texts, -dynamics.confidence_O.astype(np.float64)), FAR, show)


def doubt_predictions(predictions: Predictions) -> Doubts:
    """The doubts about numbers by their distance from the predicted ones."""
    gold_ED, predicted_ED = predictions.gold_ED, predictions.predicted_ED
    deviation_D = np.maximum(gold_ED.std(0), np.finfo(np.float64).tiny)

    def show(example: int) -> dict[str, Any]:
        answers = _show(predictions.targets, gold_ED[example], predicted_ED[example])
        return show_texts(predictions, example) | answers

    return Doubts((np.abs(predicted_ED - gold_ED) / deviation_D).max(1, initial=0.0), FAR, show)


def _show(targets: Any, given_D: Floats, likely_D: Floats) -> dict[str, Any]:
    sides = {"given": given_D, "likely": likely_D}
    return {
        side: [[target, number] for target, number in zip(targets, numbers_D.tolist(), strict=True)]
        for side, numbers_D in sides.items()
    }
