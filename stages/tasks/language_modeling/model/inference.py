"""What a model says in the place of masks, and how surprising the words are that stood there.

Shape legend: R windows, L masked tokens of all of them, O those of a batch, C tokens of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.tokenizer import tokenizer_digest
from stages.modeling.device import Compute
from stages.modeling.inference import each_batch
from stages.tasks.language_modeling.model.masks import Int64s
from stages.tasks.language_modeling.model.split import WindowSplit
from stages.tasks.language_modeling.scores.predictions import IDS, Predictions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Guesses:
    """For each masked token, in the order of the windows: its surprisal, and the likeliest token in its place."""

    bounds_R: Int64s  # [R + 1] the first of each window, and L
    nats_L: npt.NDArray[np.float64]  # the negative logarithm of the probability of what stood there
    predicted_L: Int64s


def guess(model: PreTrainedModel, split: WindowSplit, compute: Compute, *, batch_tokens: int) -> Guesses:
    """Read all windows of a split."""
    counts_R = [len(split.read(row).places_L) for row in range(len(split.lengths))]
    bounds_R = np.append(0, np.cumsum(counts_R, dtype=np.int64))
    nats_L, predicted_L = np.zeros(bounds_R[-1]), np.zeros(bounds_R[-1], np.int64)
    for rows, logits_OC in each_batch(model, split, compute, batch_tokens=batch_tokens):
        places = np.concatenate([np.arange(bounds_R[row], bounds_R[row + 1]) for row in rows])
        gold_O = torch.from_numpy(np.concatenate([split.read(row).gold_L for row in rows.tolist()]))
        logits = torch.from_numpy(logits_OC)
        nats_L[places] = functional.cross_entropy(logits, gold_O, reduction="none").numpy()
        predicted_L[places] = logits.argmax(1).numpy()
    return Guesses(bounds_R, nats_L, predicted_L)


def describe_guesses(
    guesses: Guesses, split: WindowSplit, tokenizer: "PreTrainedTokenizerFast", examples: dict[str, Any]
) -> Predictions:
    """The predictions for a split; `examples` are the fields of `TextPredictions`."""
    windows = [split.read(row) for row in range(len(split.lengths))]
    gold_L = np.concatenate([window.gold_L for window in windows])
    row_L = np.repeat(np.arange(len(windows)), np.diff(guesses.bounds_R))
    own_word_L = np.concatenate([window.word_L for window in windows])
    is_first_L = (np.diff(row_L, prepend=-1) != 0) | (np.diff(own_word_L, prepend=-1) != 0)
    firsts = np.flatnonzero(is_first_L)
    return Predictions(
        **examples,
        input_ids=pa.array([window.ids_T for window in windows], IDS),
        bounds_E=guesses.bounds_R,
        place_L=np.concatenate([window.places_L for window in windows]),
        gold_L=gold_L,
        predicted_L=guesses.predicted_L,
        nats_L=guesses.nats_L,
        word_L=np.cumsum(is_first_L) - 1,
        words=decode(tokenizer, np.split(gold_L, firsts[1:])),
        guesses=decode(tokenizer, np.split(guesses.predicted_L, firsts[1:])),
        tokenizer_digest=tokenizer_digest(tokenizer),
    )


def decode(tokenizer: "PreTrainedTokenizerFast", words: Sequence[Int64s]) -> pa.StringArray:
    """Each word as text, by its ids."""
    found = tokenizer.backend_tokenizer.decode_batch([ids.tolist() for ids in words], skip_special_tokens=False)
    return pa.array(found, pa.string())
