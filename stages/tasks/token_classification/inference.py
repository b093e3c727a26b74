"""A label for every word of a split, predicted from the window that owns the word.

Shape legend: N tokens and L labelled tokens of a batch, C labels, W words of the whole split.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED, EncodedSplit
from stages.modeling.batches import sorted_rows, token_indices
from stages.modeling.device import Compute
from stages.modeling.encoder import label_logits, pack

INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory


@dataclass(frozen=True)
class WordPredictions:
    """Gold and predicted label id of every word, sentence after sentence, and the probability of the predicted one."""

    gold_W: npt.NDArray[np.int64]
    predicted_W: npt.NDArray[np.int64]
    probability_W: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Scores:
    """The results of a batch on their way from the device; there may be more than words (see `pack`)."""

    words_L: npt.NDArray[np.int64]
    probability_L: torch.Tensor
    label_L: torch.Tensor
    arrived: torch.cuda.Event | None  # None on a CPU

    @classmethod
    def copied(cls, words_L: npt.NDArray[np.int64], probability_L: torch.Tensor, label_L: torch.Tensor) -> "_Scores":
        """Start copying to pinned memory, without waiting for the device."""
        host = [values.to("cpu", non_blocking=True) for values in (probability_L, label_L)]
        arrived = torch.cuda.current_stream().record_event() if probability_L.is_cuda else None
        return cls(words_L, host[0], host[1], arrived)

    def write(self, predicted_W: npt.NDArray[np.int64], probability_W: npt.NDArray[np.float32]) -> None:
        """Wait for the results and write them at their words."""
        if self.arrived is not None:
            self.arrived.synchronize()
        predicted_W[self.words_L] = self.label_L[: len(self.words_L)].numpy()
        probability_W[self.words_L] = self.probability_L[: len(self.words_L)].numpy()


def predict(model: PreTrainedModel, split: EncodedSplit, compute: Compute, *, batch_tokens: int) -> WordPredictions:
    """Predict every word once; ArtifactError unless exactly one window owns each."""
    owners_W = split.owners()
    word_of = np.zeros(len(split.input_ids), dtype=np.int64)
    word_of[owners_W] = np.arange(len(owners_W))
    predicted_W = np.zeros(len(owners_W), dtype=np.int64)
    probability_W = np.zeros(len(owners_W), dtype=np.float32)

    queued: list[_Scores] = []  # one at most: its results are copied while the device computes the next batch
    with torch.inference_mode():
        for rows in sorted_rows(split.lengths, budget=batch_tokens):
            batch = pack(model, split, rows, slice(None), compute).to(compute.device)
            _, index_N = token_indices(split, rows)
            words_L = word_of[index_N[split.labels[index_N] != IGNORED]]
            probability_LC = label_logits(model, batch).float().softmax(dim=-1)
            queued.append(_Scores.copied(words_L, *probability_LC.max(dim=-1)))
            if len(queued) > 1:
                queued.pop(0).write(predicted_W, probability_W)
        for scores in queued:
            scores.write(predicted_W, probability_W)

    return WordPredictions(split.labels[owners_W].astype(np.int64), predicted_W, probability_W)
