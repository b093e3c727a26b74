"""Numbers in the user's unit from the outputs of the model.

Shape legend: E examples, D targets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.encoding.texts import EncodedTexts
from stages.statistics.measure import Floats
from stages.tasks.regression.scores.predictions import Predictions
from stages.text_tasks.predictions import examples_of


def decide(outputs_ED: Floats, texts: EncodedTexts, targets: Sequence[str], decision: Mapping[str, Any]) -> Predictions:
    """The numbers that these outputs stand for, by the mean and the deviation that each target has in train."""
    return Predictions(
        **examples_of(texts),
        targets=tuple(targets),
        gold_ED=read_numbers(texts, len(targets)),
        predicted_ED=outputs_ED * np.array(decision["deviations"]) + np.array(decision["means"]),
    )


def read_numbers(texts: EncodedTexts, count: int) -> Floats:
    """[E, D] the answers; zeros where they are not known."""
    if texts.answers is None:
        return np.zeros((len(texts.first_rows), count))
    numbers: Floats = texts.example_answers.flatten().to_numpy().reshape(-1, count)
    return numbers
