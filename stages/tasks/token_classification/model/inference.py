"""Logits for every word of a split, from the window that owns the word, and the predicted labels.

Shape legend: N tokens and L words of a batch, C labels, W words of the whole split.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED, EncodedSplit
from stages.modeling.batches import token_indices
from stages.modeling.classifier import crf_of, labels_of
from stages.modeling.device import Compute
from stages.modeling.heads.crf import Potentials
from stages.modeling.inference import each_batch
from stages.statistics.calibration import softmax
from stages.tasks.token_classification.model.decoding import constrain, iob2_potentials, label_marginals, viterbi

INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory


@dataclass(frozen=True)
class WordLogits:
    """The gold label id of every word, sentence after sentence, and its logits.

    `bounds` are those of `Tagging`. `potentials` are those of the CRF; of a linear head 0 for what IOB2 allows.
    """

    gold_W: npt.NDArray[np.int64]
    logits_WC: npt.NDArray[np.float32]
    bounds: npt.NDArray[np.int64]
    potentials: Potentials
    has_crf: bool

    @cached_property
    def predicted_W(self) -> npt.NDArray[np.int64]:
        """The labels of the best sequence of each sentence that IOB2 allows; see `viterbi` for equal ones."""
        decode = viterbi if self.has_crf else constrain
        return decode(self.logits_WC, self.bounds, self.potentials)

    def probability_W(self, temperature: float) -> npt.NDArray[np.float32]:
        """The probability of each predicted label at this temperature, which divides all scores.

        By the softmax of its word's logits; with a CRF its marginal, the share of all sequences that have it.
        """
        if self.has_crf:
            scaled = self.potentials.map(lambda values: values / temperature)
            return label_marginals(self.logits_WC / temperature, self.bounds, scaled, self.predicted_W)
        return softmax(self.logits_WC, temperature)[np.arange(len(self.predicted_W)), self.predicted_W]


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
    gold_W, potentials = split.labels[owners_W].astype(np.int64), potentials_of(model)
    return WordLogits(gold_W, logits_WC, split.word_bounds, potentials, has_crf=crf_of(model) is not None)


@torch.no_grad()
def potentials_of(model: PreTrainedModel) -> Potentials:
    """What tag sequences score beside their logits, on the CPU."""
    allowed, crf = iob2_potentials(labels_of(model)), crf_of(model)
    if crf is None:
        return allowed
    potentials: Potentials = crf(allowed.map(lambda values: values.to(crf.start.device)))
    return potentials.map(torch.Tensor.cpu)


def predict(
    model: PreTrainedModel, split: EncodedSplit, compute: Compute, *, batch_tokens: int, temperature: float
) -> WordPredictions:
    """The labels of the best sequence of every sentence, and the probability of each at this temperature.

    ArtifactError unless exactly one window owns each word.
    """
    found = predict_logits(model, split, compute, batch_tokens=batch_tokens)
    return WordPredictions(found.gold_W, found.predicted_W, found.probability_W(temperature))
