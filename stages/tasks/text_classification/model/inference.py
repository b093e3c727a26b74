"""Labels and calibrated probabilities for every text of a split.

Shape legend: E examples, C labels.
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
from stages.statistics.calibration import sigmoid, softmax
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import predict_one, predict_several

INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]


def predict_texts(
    model: PreTrainedModel,
    texts: EncodedTexts,
    compute: Compute,
    *,
    batch_tokens: int,
    labels: Sequence[str],
    task: Mapping[str, Any],
    decision: Mapping[str, Any],
) -> Predictions:
    """The labels of every text with their probabilities.

    `task` is the section of the params that the model was trained with, `decision` what was fitted on dev. Texts
    without answers get no gold label.
    """
    split = TextSplit(texts, task["pooling"], np.zeros(len(texts.weight), np.int64))
    logits_EC = predict_examples(model, split, compute, batch_tokens=batch_tokens)
    return decide(logits_EC, texts, labels, decision)


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
        texts=pa.concat_arrays(texts.texts.chunks),
        pairs=None if texts.pairs is None else pa.concat_arrays(texts.pairs.chunks),
        labels=tuple(labels),
        gold_EC=mark_labels(texts, len(labels)),
        probability_EC=probability_EC,
        predicted_EC=predicted_EC,
        windows_E=np.bincount(texts.example, minlength=len(texts.first_rows)),
        slices=texts.slices,
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
