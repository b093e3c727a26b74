"""Logits for every word of a split, from the window that owns the word, and the predicted labels.

Shape legend: N tokens and L words of a batch, C labels, W words of the whole split.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED, EncodedSplit
from stages.modeling.batches import token_indices
from stages.modeling.classifier import labels_of
from stages.modeling.device import Compute
from stages.modeling.inference import each_batch
from stages.statistics.calibration import softmax

INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory


@dataclass(frozen=True)
class WordLogits:
    """The gold label id of every word, sentence after sentence, and its logits."""

    gold_W: npt.NDArray[np.int64]
    logits_WC: npt.NDArray[np.float32]

    @property
    def predicted_W(self) -> npt.NDArray[np.int64]:
        """The label id with the greatest logit, the first of equal ones."""
        label_W: npt.NDArray[np.int64] = self.logits_WC.argmax(axis=1)
        return label_W


@dataclass(frozen=True)
class WordPredictions:
    """Gold and predicted label id of every word, sentence after sentence, and the probability of the predicted one."""

    gold_W: npt.NDArray[np.int64]
    predicted_W: npt.NDArray[np.int64]
    probability_W: npt.NDArray[np.float32]


def predict_logits(model: PreTrainedModel, split: EncodedSplit, compute: Compute, *, batch_tokens: int) -> WordLogits:
    """Predict every word once; ArtifactError unless exactly one window owns each."""
    owners_W = split.owners()
    word_of = np.zeros(len(split.input_ids), dtype=np.int64)
    word_of[owners_W] = np.arange(len(owners_W))
    logits_WC = np.zeros((len(owners_W), len(labels_of(model))), dtype=np.float32)
    for rows, logits_LC in each_batch(model, split, compute, batch_tokens=batch_tokens):
        _, index_N = token_indices(split, rows)
        logits_WC[word_of[index_N[split.labels[index_N] != IGNORED]]] = logits_LC
    return WordLogits(split.labels[owners_W].astype(np.int64), logits_WC)


def predict(
    model: PreTrainedModel, split: EncodedSplit, compute: Compute, *, batch_tokens: int, temperature: float
) -> WordPredictions:
    """The most probable label of every word, and its probability at this temperature.

    ArtifactError unless exactly one window owns each word.
    """
    found = predict_logits(model, split, compute, batch_tokens=batch_tokens)
    predicted_W = found.predicted_W
    probability_WC = softmax(found.logits_WC, temperature)
    return WordPredictions(found.gold_W, predicted_W, probability_WC[np.arange(len(predicted_W)), predicted_W])
