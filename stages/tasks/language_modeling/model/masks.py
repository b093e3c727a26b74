"""Masks of whole words, as BERT draws them (Devlin et al., 2019), other ones in each step (Liu et al., 2019, RoBERTa).

Of the tokens of a window a share is chosen, as whole words. The model reads `[MASK]` in the place of 80 % of them, any
token of the vocabulary in 10 %, and what stands there in 10 %; it is to say what stood there. What is drawn for a
window follows from its number and what its caller gives beside it, and on nothing else: neither on the batch that it
is in, nor on the process that reads it.

Shape legend: T tokens of a window, L chosen ones.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

SPECIAL, BEGIN = 0, 1  # marks of tokens, as tokenize writes them: never masked; where a word begins
MASKED, REPLACED = 0.8, 0.1  # shares of the chosen tokens


@dataclass(frozen=True)
class Masking:
    """The share of tokens that is chosen, the id of the mask, and the number of tokens of the vocabulary."""

    share: float
    mask_id: int
    vocabulary: int


class MaskedWindow(NamedTuple):
    """A window as the model reads it, and what it is to say."""

    ids_T: Int32s
    places_L: Int64s  # ascending
    gold_L: Int64s  # the ids that stood there
    word_L: Int64s  # numbers the word of each; consecutive places with equal numbers are one word


def mask_window(ids_T: Int32s, marks_T: Int32s, masking: Masking, seeds: tuple[int, ...]) -> MaskedWindow:
    """Mask a window; `seeds` determine how. It has at least one word that can be masked."""
    generator = np.random.default_rng(np.random.SeedSequence(seeds))
    can_be_masked_T = marks_T != SPECIAL
    word_T = np.cumsum(marks_T == BEGIN)
    chosen = _choose_words(word_T[can_be_masked_T], masking.share, generator)
    places_L = np.flatnonzero(np.isin(word_T, chosen) & can_be_masked_T)
    draws_L, others_L = generator.random(len(places_L)), generator.integers(0, masking.vocabulary, len(places_L))
    gold_L = ids_T[places_L].astype(np.int64)
    masked_T = ids_T.copy()
    masked_T[places_L] = np.select(
        [draws_L < MASKED, draws_L < MASKED + REPLACED], [np.full(len(places_L), masking.mask_id), others_L], gold_L
    )
    return MaskedWindow(masked_T, places_L, gold_L, word_T[places_L])


def _choose_words(word_T: Int64s, share: float, generator: np.random.Generator) -> list[int]:
    """Numbers of words, in random order, that have the share of all tokens together; at least one.

    A word that would exceed it is left out, as in BERT.
    """
    words, sizes = np.unique(word_T, return_counts=True)
    order = generator.permutation(len(words))
    left = max(1, round(share * len(word_T)))
    chosen = []
    for word, size in zip(words[order].tolist(), sizes[order].tolist(), strict=True):
        if size <= left:
            chosen.append(word)
            left -= size
        if not left:
            break
    return chosen or [int(words[order[0]])]
