"""A model's labels for the texts on which another one was scored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.tasks.text_classification.model.inference import decide
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import DEFAULT
from stages.text_tasks.serving import load_text_model

Values = npt.NDArray[Any]


def rescore(scored: Predictions, folder: Path) -> Predictions:
    """The same texts and gold answers with those that the model in `folder` predicts.

    Both have the labels of both models. UserError if one is a model of pairs and the other is not.
    """
    found = load_text_model(folder).predict_scored(scored, decide)
    labels = tuple(sorted({*scored.labels, *found.labels}))
    return replace(
        found,
        labels=labels,
        gold_EC=spread(scored.gold_EC, scored.labels, labels),
        predicted_EC=spread(found.predicted_EC, found.labels, labels),
        probability_EC=spread(found.probability_EC, found.labels, labels),
        thresholds=None if found.thresholds is None else _spread_thresholds(found, labels),
        slices=scored.slices,
    )


def spread(values_EC: Values, known: tuple[str, ...], labels: tuple[str, ...]) -> Values:
    """The columns of the `known` labels among those of `labels`, which contain them; zeros for the others."""
    spread_EC = np.zeros((len(values_EC), len(labels)), values_EC.dtype)
    spread_EC[:, [labels.index(label) for label in known]] = values_EC
    return spread_EC


def _spread_thresholds(found: Predictions, labels: tuple[str, ...]) -> tuple[float, ...]:
    known = dict(zip(found.labels, found.thresholds or (), strict=True))
    return tuple(known.get(label, DEFAULT) for label in labels)
