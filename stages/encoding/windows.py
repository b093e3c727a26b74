"""Split sentences into windows of words, so that no word is dropped.

Each word is owned by exactly one window: the one with the most context on the word's side that has less of it. Only
there does its first token carry a label.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


class Span(NamedTuple):
    """A window over the words [start, end) of a sentence; it owns the words [owned_start, owned_end)."""

    start: int
    end: int
    owned_start: int
    owned_end: int


class Windows(NamedTuple):
    """R windows, each as a `Span` over the words of the block."""

    starts: Int64s
    ends: Int64s
    owned_starts: Int64s
    owned_ends: Int64s
    sentences: Int64s  # number of its sentence within the block
    numbers: Int64s  # number of the window within its sentence

    def of(self, sentences: npt.NDArray[np.bool_]) -> "Windows":
        """Return the windows of the chosen sentences of the block."""
        chosen = sentences[self.sentences]
        return Windows(*(column[chosen] for column in self))


def sentence_windows(offsets: Int32s, counts: Int32s, *, capacity: int, overlap: int) -> Windows:
    """Return the windows of S sentences: one for each, several for a sentence of over `capacity` tokens.

    `offsets` [S + 1] is the index of the first word of each sentence, `counts` [W] the number of tokens of each word,
    at most `capacity`.
    """
    positions = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    sentences = np.arange(len(offsets) - 1)
    starts, ends = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    whole = Windows(starts, ends, starts, ends, sentences, np.zeros_like(sentences))
    long = positions[ends] - positions[starts] > capacity
    if not long.any():
        return whole
    cut = [
        (*(starts[sentence] + np.array(span)), sentence, number)
        for sentence in np.flatnonzero(long)
        for number, span in enumerate(
            spans(counts[starts[sentence] : ends[sentence]].tolist(), capacity=capacity, overlap=overlap)
        )
    ]
    columns = [np.concatenate(pair) for pair in zip(whole.of(~long), np.array(cut, np.int64).T, strict=True)]
    order = np.lexsort((columns[5], columns[4]))
    return Windows(*(column[order] for column in columns))


def document_windows(windows: Windows, documents: Int32s, offsets: Int32s, counts: Int32s, *, capacity: int) -> Windows:
    """Widen windows into the sentences around, as far as the document and `capacity` allow.

    Both sides get the same number of tokens; what one cannot use because the document ends, the other gets. The words
    added for context are owned by other windows. `documents` [S] is the document of each sentence, negative for none.
    """
    positions = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    edges = np.flatnonzero((np.diff(documents, prepend=-2) != 0) | (documents < 0))
    document_S = np.searchsorted(edges, np.arange(len(documents)), side="right") - 1
    firsts = offsets[edges][document_S][windows.sentences]
    lasts = offsets[np.append(edges[1:], len(documents))][document_S][windows.sentences]

    free = capacity - (positions[windows.ends] - positions[windows.starts])
    before, after = positions[windows.starts] - positions[firsts], positions[lasts] - positions[windows.ends]
    left = np.minimum(before, np.maximum(free // 2, free - after))
    right = np.minimum(after, free - left)
    starts = np.searchsorted(positions, positions[windows.starts] - left)
    ends = np.searchsorted(positions, positions[windows.ends] + right, side="right") - 1
    return windows._replace(starts=starts, ends=ends)


def spans(lengths: Sequence[int], *, capacity: int, overlap: int) -> list[Span]:
    """Cover words of `lengths` tokens (each at most `capacity`) with windows of at most `capacity` tokens.

    Neighbouring windows share up to `overlap` tokens, in whole words.
    """
    bounds = list(_bounds(lengths, capacity=capacity, overlap=overlap))
    positions = [0]
    for size in lengths:
        positions.append(positions[-1] + size)
    # A word in the overlap has less context to the left in the later window, and to the right in the earlier one; the
    # two are equal in the middle of the overlap.
    owners = [0]
    for (_, end), (start, _) in pairwise(bounds):
        middle = (positions[start] + positions[end]) / 2
        owners.append(next(word for word in range(start, end + 1) if positions[word] >= middle))
    owners.append(len(lengths))
    return [
        Span(start, end, owned_start, owned_end)
        for (start, end), (owned_start, owned_end) in zip(bounds, pairwise(owners), strict=True)
    ]


def _bounds(lengths: Sequence[int], *, capacity: int, overlap: int) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        end, used = start, 0
        while end < len(lengths) and used + lengths[end] <= capacity:
            used += lengths[end]
            end += 1
        yield start, end
        if end == len(lengths):
            return
        next_start, shared = end, 0
        # start + 1: the next window must begin later than this one, whatever the overlap.
        while next_start > start + 1 and shared + lengths[next_start - 1] <= overlap:
            next_start -= 1
            shared += lengths[next_start]
        start = next_start


def join_ranges(starts: npt.NDArray[np.signedinteger], lengths: npt.NDArray[np.signedinteger]) -> tuple[Int64s, Int64s]:
    """Concatenate the ranges [start, start + length); also return the number of the range of each item."""
    number = np.repeat(np.arange(len(starts)), lengths)
    before = np.cumsum(lengths) - lengths
    return np.arange(len(number)) + (starts - before)[number], number
