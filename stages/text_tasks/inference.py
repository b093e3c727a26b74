"""Predictions for encoded texts: the logits of each, and what the task makes of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from stages.encoding.texts import EncodedTexts
from stages.modeling.classifier import labels_of
from stages.modeling.device import Compute
from stages.modeling.text_split import TextSplit, predict_examples
from stages.text_tasks.predictions import P
from stages.training.record import TrainingRecord

Floats = npt.NDArray[np.float64]
# The logits [E, C] of E texts, these texts, the names of the C outputs, and what `fit_decision` returned.
Decide = Callable[[Floats, EncodedTexts, Sequence[str], Mapping[str, Any]], P]


def predict_texts(
    model: PreTrainedModel,
    texts: EncodedTexts,
    compute: Compute,
    record: TrainingRecord,
    decide: Decide[P],
    *,
    batch_tokens: int,
) -> P:
    """The predictions of a model that was trained as `record` says; the texts need no answers."""
    split = TextSplit(texts, record.parameters["task"]["pooling"], np.zeros(len(texts.weight), np.int64))
    logits_EC = predict_examples(model, split, compute, batch_tokens=batch_tokens)
    return decide(logits_EC, texts, labels_of(model), record.decision)
