"""A label for every word of a split, predicted from the window that owns the word.

Shape legend: N tokens and L labelled tokens of a batch, C labels, W words of the whole split.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.modeling.batches import collate, sorted_rows, token_indices
from stages.modeling.device import Compute
from stages.modeling.encoder import label_logits

INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory


@dataclass(frozen=True)
class WordPredictions:
    """Gold and predicted label id of every word, sentence after sentence, and the probability of the predicted one."""

    gold_W: npt.NDArray[np.int64]
    predicted_W: npt.NDArray[np.int64]
    probability_W: npt.NDArray[np.float32]


def predict(model: PreTrainedModel, split: EncodedSplit, compute: Compute, *, batch_tokens: int) -> WordPredictions:
    """Predict every word once; ArtifactError unless exactly one window owns each."""
    owners_W = split.owners()
    word_of = np.zeros(len(split.input_ids), dtype=np.int64)
    word_of[owners_W] = np.arange(len(owners_W))
    predicted_W = np.zeros(len(owners_W), dtype=np.int64)
    probability_W = np.zeros(len(owners_W), dtype=np.float32)

    with torch.inference_mode():
        for rows in sorted_rows(split.lengths, budget=batch_tokens):
            batch = collate(split, rows)
            _, index_N = token_indices(split, rows)
            words_L = word_of[index_N[batch.labelled_L.numpy()]]
            probability_LC = label_logits(model, batch.to(compute.device)).float().softmax(dim=-1)
            probability_L, label_L = probability_LC.max(dim=-1)
            predicted_W[words_L] = label_L.cpu().numpy()
            probability_W[words_L] = probability_L.cpu().numpy()

    return WordPredictions(split.labels[owners_W].astype(np.int64), predicted_W, probability_W)
