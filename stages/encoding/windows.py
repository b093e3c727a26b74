"""Cut sentences and documents into windows of words, so that no word is dropped.

Each word is owned by exactly one window: the one with the most context on the word's side that has less of it. Only
there does its first token carry a label.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


class Span(NamedTuple):
    """A window over the words [start, end) of a text; it owns the words [owned_start, owned_end)."""

    start: int
    end: int
    owned_start: int
    owned_end: int


class Windows(NamedTuple):
    """R windows over the words of several texts, each as a `Span`, text after text."""

    starts: Int64s
    ends: Int64s
    owned_starts: Int64s
    owned_ends: Int64s
    texts: Int64s  # number of the text of each


def cut_texts(bounds: Int64s, counts: Int32s, *, capacity: int, overlap: int) -> Windows:
    """Cover each text with windows of at most `capacity` tokens, of which neighbours share up to `overlap`.

    Text t has the words from `bounds[t]` to `bounds[t + 1]`, perhaps none. `counts` [W] is the number of tokens of each
    word, at least 1 and at most `capacity`.
    """
    positions = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    texts, starts = np.arange(len(bounds) - 1), bounds[:-1]
    found = []
    while len(texts):  # the next window of all texts that are not yet covered
        full = np.searchsorted(positions, positions[starts] + capacity, side="right") - 1
        ends = np.minimum(full, bounds[texts + 1])
        found.append((starts, ends, texts))
        goes_on = ends < bounds[texts + 1]
        texts, starts, ends = texts[goes_on], starts[goes_on], ends[goes_on]
        # starts + 1: the next window must begin later than this one, whatever the overlap.
        starts = np.maximum(starts + 1, np.searchsorted(positions, positions[ends] - overlap))
    starts, ends, texts = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.argsort(texts, kind="stable")
    starts, ends, texts = starts[order], ends[order], texts[order]

    # A word in the overlap has less context to the left in the later window, and to the right in the earlier one; the
    # two are equal in the middle of the overlap.
    owned_starts, owned_ends = starts.copy(), ends.copy()
    later = np.flatnonzero(texts[1:] == texts[:-1]) + 1
    middles = (positions[starts[later]] + positions[ends[later - 1]] + 1) // 2
    owned_starts[later] = owned_ends[later - 1] = np.searchsorted(positions, middles)
    return Windows(starts, ends, owned_starts, owned_ends, texts)


def spans(lengths: Sequence[int], *, capacity: int, overlap: int) -> list[Span]:
    """The windows of one text, whose words have `lengths` tokens."""
    found = cut_texts(np.array([0, len(lengths)]), np.array(lengths, np.int32), capacity=capacity, overlap=overlap)
    return [Span(*bounds) for bounds in zip(*(column.tolist() for column in found[:4]), strict=True)]


def join_ranges(starts: npt.NDArray[np.signedinteger], lengths: npt.NDArray[np.signedinteger]) -> tuple[Int64s, Int64s]:
    """Concatenate the ranges [start, start + length); also return the number of the range of each item."""
    number = np.repeat(np.arange(len(starts)), lengths)
    before = np.cumsum(lengths) - lengths
    return np.arange(len(number)) + (starts - before)[number], number
