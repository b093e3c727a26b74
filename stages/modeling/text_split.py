"""A split of encoded texts as the engine takes it: an output for each row, pooled or its first token's.

Shape legend: R rows, B rows of a batch, N their tokens, E examples, C outputs of the model.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from stages.encoding.files import Outputs
from stages.encoding.texts import NO_SECOND, EncodedTexts
from stages.modeling.classifier import labels_of
from stages.modeling.device import Compute
from stages.modeling.inference import average_examples, each_batch

Pooling = Literal["mean", "first"]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class TextSplit:
    """Encoded texts with the answer of each row, of shape [R] or [R, C]; zeros where none is known."""

    texts: EncodedTexts
    pooling: Pooling
    answers_R: npt.NDArray[Any]

    @property
    def offsets(self) -> Int32s:
        """[R + 1] the first token of each row, and the number of tokens."""
        return self.texts.offsets

    @property
    def input_ids(self) -> Int32s:
        """The tokens of all rows."""
        return self.texts.input_ids

    @cached_property
    def second(self) -> Int32s | None:
        """[R] the place of the first token of the second text; None without pairs."""
        return None if (self.texts.second == NO_SECOND).all() else self.texts.second

    @cached_property
    def lengths(self) -> Int32s:
        """[R] the number of tokens of each row."""
        return self.texts.lengths

    def outputs(self, rows: Int64s, _: Int64s) -> Outputs:
        """An output for each row, with its answer and its weight."""
        lengths = self.lengths[rows].astype(np.int64)
        answers = (self.answers_R[rows], self.texts.weight[rows])
        if self.pooling == "first":
            return Outputs(np.cumsum(lengths) - lengths, None, answers, (0, 0))
        return Outputs(np.arange(lengths.sum()), np.repeat(np.arange(len(rows)), lengths), answers, (0, 0))

    def weight(self, rows: Int64s, _: Int64s) -> float:
        """The sum of the rows' weights: the number of texts, where all rows of each are among them."""
        return float(self.texts.weight[rows].sum(dtype=np.float64))

    def describe(self, rows: Int64s) -> dict[int, str]:
        """The beginning of each text that these rows belong to, by its number from 0."""
        found = {}
        for example in np.unique(self.texts.example[rows]).tolist():
            text = self.texts.texts[example].as_py()
            found[example] = text[:SHOWN_CHARACTERS] + (" ..." if len(text) > SHOWN_CHARACTERS else "")
        return found


def predict_examples(
    model: PreTrainedModel, split: TextSplit, compute: Compute, *, batch_tokens: int
) -> npt.NDArray[np.float64]:
    """[E, C] the logits of each example: the mean of those of its rows, by their weights."""
    logits_RC = np.zeros((len(split.lengths), len(labels_of(model))), np.float32)
    for rows, logits_OC in each_batch(model, split, compute, batch_tokens=batch_tokens):
        logits_RC[rows] = logits_OC
    return average_examples(logits_RC, split.texts.example, split.texts.weight)
