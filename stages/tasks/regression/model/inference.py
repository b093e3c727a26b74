"""Numbers, in the user's unit, for every text of a split.

Shape legend: E examples, D targets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from transformers import PreTrainedModel

from stages.encoding.texts import EncodedTexts
from stages.modeling.device import Compute
from stages.modeling.text_split import TextSplit, predict_examples
from stages.tasks.regression.scores.predictions import Predictions

INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory

Floats = npt.NDArray[np.float64]


def predict_numbers(
    model: PreTrainedModel,
    texts: EncodedTexts,
    compute: Compute,
    *,
    batch_tokens: int,
    targets: Sequence[str],
    task: Mapping[str, Any],
    decision: Mapping[str, Any],
) -> Predictions:
    """The numbers of every text.

    `task` is the section of the params that the model was trained with, `decision` what it standardises by. Texts
    without answers get 0 for gold.
    """
    split = TextSplit(texts, task["pooling"], np.zeros(len(texts.weight), np.float32))
    outputs_ED = predict_examples(model, split, compute, batch_tokens=batch_tokens)
    return restore_units(outputs_ED, texts, targets, means=decision["means"], deviations=decision["deviations"])


def restore_units(
    outputs_ED: Floats, texts: EncodedTexts, targets: Sequence[str], *, means: list[float], deviations: list[float]
) -> Predictions:
    """Predictions in the user's unit from standardised ones."""
    return Predictions(
        texts=pa.concat_arrays(texts.texts.chunks),
        pairs=None if texts.pairs is None else pa.concat_arrays(texts.pairs.chunks),
        targets=tuple(targets),
        gold_ED=read_numbers(texts, len(targets)),
        predicted_ED=outputs_ED * np.array(deviations) + np.array(means),
        windows_E=np.bincount(texts.example, minlength=len(texts.first_rows)),
        slices=texts.slices,
    )


def read_numbers(texts: EncodedTexts, count: int) -> Floats:
    """[E, D] the answers; zeros where they are not known."""
    if texts.answers is None:
        return np.zeros((len(texts.first_rows), count))
    numbers: Floats = texts.example_answers.flatten().to_numpy().reshape(-1, count)
    return numbers
