"""Masked windows and what was said in the place of masks, as columns of data/report/predictions.parquet.

Beside those of stages/text_tasks/predictions.py, whose `text` is the window without masks, as the tokenizer writes it,
and whose slice `document` is the place where the window's document begins:

input_ids           list<int32>, the window as the model read it, special tokens included
places              list<int32>, the places of masked tokens in it
gold, predicted     list<int32>, the ids that stood there, and the likeliest ones
nats                list<double>, the negative logarithm of the probability of each gold id
word                list<int32>, the masked word that each belongs to, from 0 in its window
words, guesses      list<string>, the masked words, and what the likeliest tokens are in their places

The schema's metadata hold the digest of the tokenizer.

Shape legend: E windows, L masked tokens of all of them, W masked words.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.statistics.measure import Floats, Numbers
from stages.text_tasks.predictions import TextPredictions, have_same_texts, read_splits, write_splits

FORMAT_VERSION = 1
TOKENIZER = "tokenizer_digest"
DOCUMENT = "document"
IDS = pa.list_(pa.int32())


@dataclass(frozen=True)
class Predictions(TextPredictions):
    """The windows of a split, and what a model says in the places of their masks."""

    input_ids: pa.ListArray  # [E]
    bounds_E: Numbers  # [E + 1] the first masked token of each window, and L
    place_L: Numbers
    gold_L: Numbers
    predicted_L: Numbers
    nats_L: Floats
    word_L: Numbers  # from 0 to W
    words: pa.StringArray  # [W]
    guesses: pa.StringArray  # [W]
    tokenizer_digest: str

    @cached_property
    def window_L(self) -> Numbers:
        """The window of each masked token."""
        return np.repeat(np.arange(len(self.texts)), np.diff(self.bounds_E))

    @cached_property
    def word_bounds_E(self) -> Numbers:
        """[E + 1] the first masked word of each window, and W."""
        window_W = self.window_L[np.flatnonzero(np.diff(self.word_L, prepend=-1))]
        return np.searchsorted(window_W, np.arange(len(self.texts) + 1))

    @property
    def document_E(self) -> Numbers:
        """The number of each window's document."""
        numbers: Numbers = self.slices[DOCUMENT].indices.to_numpy().astype(np.int64)
        return numbers

    @property
    def nats_W(self) -> Floats:
        """How surprising each masked word is: the sum over its tokens."""
        return np.bincount(self.word_L, self.nats_L, minlength=len(self.words)).astype(np.float64)

    def show(self, example: int) -> tuple[list[str], list[str]]:
        """The masked words of a window, and what is guessed in their places."""
        start, end = self.word_bounds_E[example : example + 2].tolist()
        return self.words[start:end].to_pylist(), self.guesses[start:end].to_pylist()


def write_predictions(path: Path, splits: dict[str, Predictions]) -> None:
    """Write the predictions of all splits, which are of one tokenizer."""
    digest = next(iter(splits.values())).tokenizer_digest
    write_splits(path, splits, _to_columns, format_version=FORMAT_VERSION, metadata={TOKENIZER: digest})


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read the predictions of each split; ArtifactError if the file is missing, damaged or of another version."""
    return read_splits(path, _from_columns, format_version=FORMAT_VERSION)


def same_examples(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same windows with the same masks, in the same order."""
    return (
        first.tokenizer_digest == second.tokenizer_digest
        and have_same_texts(first, second)
        and bool(first.input_ids.equals(second.input_ids))
        and np.array_equal(first.bounds_E, second.bounds_E)
        and np.array_equal(first.place_L, second.place_L)
    )


def _to_columns(predictions: Predictions) -> dict[str, pa.Array]:
    own = predictions
    bounds, words = own.bounds_E, own.word_bounds_E
    word_L = own.word_L - np.repeat(words[:-1], np.diff(bounds))
    return {
        "input_ids": own.input_ids,
        **{
            name: _lists(bounds, pa.array(values_L, pa.int32()))
            for name, values_L in (
                ("places", own.place_L), ("gold", own.gold_L), ("predicted", own.predicted_L), ("word", word_L)
            )
        },
        "nats": _lists(bounds, pa.array(own.nats_L)),
        "words": _lists(words, own.words),
        "guesses": _lists(words, own.guesses),
    }  # fmt: skip


def _from_columns(table: pa.Table, examples: dict[str, Any], metadata: dict[str, Any]) -> Predictions:
    columns = {name: table[name].combine_chunks() for name in ("input_ids", "places", "words", "guesses")}
    place_L, gold_L, predicted_L, word_L, nats_L = (
        table[name].combine_chunks().flatten().to_numpy() for name in ("places", "gold", "predicted", "word", "nats")
    )
    counts_E = columns["places"].value_lengths().to_numpy()
    words_E = columns["words"].value_lengths().to_numpy()
    before_E = np.cumsum(words_E, dtype=np.int64) - words_E
    return Predictions(
        **examples,
        input_ids=columns["input_ids"],
        bounds_E=np.append(0, np.cumsum(counts_E, dtype=np.int64)),
        place_L=place_L.astype(np.int64),
        gold_L=gold_L.astype(np.int64),
        predicted_L=predicted_L.astype(np.int64),
        nats_L=nats_L,
        word_L=word_L + np.repeat(before_E, counts_E),
        words=columns["words"].flatten(),
        guesses=columns["guesses"].flatten(),
        tokenizer_digest=metadata[TOKENIZER],
    )


def _lists(bounds: Numbers, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), values)
