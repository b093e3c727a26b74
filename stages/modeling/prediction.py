"""Labels for every word of a split, each from the window that owns the word.

Shape legend: L labelled sub-words of a batch, C labels, W words of the whole split.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED, EncodedSplit
from stages.modeling.batches import assemble, sorted_rows
from stages.modeling.device import Compute
from stages.modeling.encoder import label_logits

SCORING_SUBWORDS = 4096  # sub-words in a batch where nobody chose another; without gradients this fits anywhere


@dataclass(frozen=True)
class WordPredictions:
    """Gold and predicted label ids and the probability of the predicted one, a list item for each sentence.

    Item i holds one value for each word of sentence i, in order.
    """

    gold: list[npt.NDArray[np.int64]]
    predicted: list[npt.NDArray[np.int64]]
    probability: list[npt.NDArray[np.float32]]


def predict(model: PreTrainedModel, split: EncodedSplit, compute: Compute, *, batch_subwords: int) -> WordPredictions:
    """Predict every word once. AssertionError if a word has no prediction or two, which would be a bug of ours."""
    first_word = np.concatenate([[0], np.cumsum(split.word_counts)])
    gold_W = np.full(first_word[-1], IGNORED)
    predicted_W = np.full(first_word[-1], IGNORED)
    probability_W = np.zeros(first_word[-1], dtype=np.float32)
    times_seen_W = np.zeros(first_word[-1], dtype=np.int64)

    with torch.inference_mode():
        for rows in sorted_rows(split.lengths, budget=batch_subwords):
            batch = assemble(split, rows).to(compute.device)
            probability_LC = label_logits(model, batch).float().softmax(dim=-1)
            probability_L, label_L = probability_LC.max(dim=-1)
            # The labelled sub-words of a row follow each other in the order of their words.
            words = np.concatenate([_owned_words(split, row) + first_word[split.sentence[row]] for row in rows])
            gold_W[words] = batch.labels_L.cpu().numpy()
            predicted_W[words] = label_L.cpu().numpy()
            probability_W[words] = probability_L.cpu().numpy()
            np.add.at(times_seen_W, words, 1)

    once = times_seen_W == 1
    assert once.all(), f"{(~once).sum()} words have no prediction or more than one"
    inner = first_word[1:-1]
    return WordPredictions(np.split(gold_W, inner), np.split(predicted_W, inner), np.split(probability_W, inner))


def _owned_words(split: EncodedSplit, row: int) -> npt.NDArray[np.int32]:
    words = split.word_index[split.offsets[row] : split.offsets[row + 1]]
    return words[words >= 0]
