"""Split texts and pairs of texts into windows of tokens, so that no token is left out.

A window begins and ends between words (what white space parts); within a word only if the word is longer than a window,
then between the pieces of the pre-tokenizer, and within a piece only if that is longer still. Each token is owned by
the window that shows it the most context (stages/encoding/windows.py).

In a pair that is longer than a window, the longer text becomes windows beside the whole of the shorter one, if that
leaves it half of the place; else each text has half of the place and both become windows, the first with the first and
the last with the last. The text with fewer windows repeats them.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.encoding.text_tokens import PIECE, WORD, Levels, TextTokens
from stages.encoding.windows import Span, spans

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


class TextWindows(NamedTuple):
    """R windows. Texts are ranges of tokens of the block, all texts first and then all second texts."""

    examples: Int64s  # number of its example within the block
    numbers: Int64s  # number of the window within its example
    starts: Int64s  # [R, 2] first and second text in the order of the row; an empty range where there is none
    ends: Int64s  # [R, 2]
    weights: Float64s  # share of the example's tokens that it owns; those that several windows own are shared

    def of(self, rows: npt.NDArray[np.bool_] | Int64s) -> "TextWindows":
        """Return the chosen windows, or those of these numbers in this order."""
        return TextWindows(
            self.examples[rows], self.numbers[rows], self.starts[rows], self.ends[rows], self.weights[rows]
        )

    def and_then(self, others: "TextWindows", ranks: npt.NDArray[np.bool_]) -> "TextWindows":
        """Return the windows of both by example, those of lower rank first; `ranks` are those of the joined rows."""
        both = TextWindows(
            np.concatenate([self.examples, others.examples]),
            np.concatenate([self.numbers, others.numbers]),
            np.concatenate([self.starts, others.starts]),
            np.concatenate([self.ends, others.ends]),
            np.concatenate([self.weights, others.weights]),
        )
        return both.of(np.lexsort((both.numbers, ranks, both.examples)))


class PairSpan(NamedTuple):
    """A window over both texts of a pair."""

    first: Span
    second: Span
    weight: float


def block_windows(
    texts: TextTokens, pairs: TextTokens | None = None, *, capacity: int, overlap: int, symmetric: bool = False
) -> TextWindows:
    """Return the windows of E examples, each of at most `capacity` tokens, neighbours sharing up to `overlap`.

    If `symmetric`, both orders of the texts of a pair have their windows, at half the weight. Which order comes first
    follows from the texts alone, so that an exchange of the two changes nothing.
    """
    no_pairs = TextTokens(texts.ids[:0], texts.levels[:0], np.zeros(len(texts.offsets), np.int64))
    second = no_pairs if pairs is None else pairs
    found = _ordered_windows(texts, second, capacity=capacity, overlap=overlap)
    if not symmetric or pairs is None:
        found.ends[:, 1] += len(texts.ids)
        found.starts[:, 1] += len(texts.ids)
        return found
    exchanged = _ordered_windows(second, texts, capacity=capacity, overlap=overlap)
    found.starts[:, 1] += len(texts.ids)
    found.ends[:, 1] += len(texts.ids)
    exchanged.starts[:, 0] += len(texts.ids)
    exchanged.ends[:, 0] += len(texts.ids)
    comes_later = _compare(texts, second)
    ranks = np.concatenate([comes_later[found.examples], ~comes_later[exchanged.examples]])
    both = found.and_then(exchanged, ranks)
    firsts = np.searchsorted(both.examples, both.examples)
    return both._replace(numbers=np.arange(len(firsts)) - firsts, weights=both.weights / 2)


def cut_text(levels: Levels, *, capacity: int, overlap: int) -> list[Span]:
    """Cover the tokens of a text with windows of at most `capacity` tokens."""
    if len(levels) <= capacity:
        return [Span(0, len(levels), 0, len(levels))]
    is_start = levels == WORD
    is_start[0] = True
    for finer in (levels >= PIECE, np.ones(len(levels), bool)):
        sizes = np.diff(np.append(np.flatnonzero(is_start), len(levels)))
        is_start |= np.repeat(sizes > capacity, sizes) & finer
    bounds = np.append(np.flatnonzero(is_start), len(levels)).tolist()
    lengths = [end - start for start, end in pairwise(bounds)]
    found = spans(lengths, capacity=capacity, overlap=min(overlap, capacity // 2))
    return [Span(*(bounds[unit] for unit in span)) for span in found]


def cut_pair(first: Levels, second: Levels, *, capacity: int, overlap: int) -> list[PairSpan]:
    """Cover the tokens of both texts of a pair, not both empty, with windows of at most `capacity` tokens together."""
    sizes, half = (len(first), len(second)), capacity // 2
    if sum(sizes) <= capacity:
        rooms = sizes
    elif min(sizes) <= half:
        rooms = (sizes[0], capacity - sizes[0]) if sizes[0] <= sizes[1] else (capacity - sizes[1], sizes[1])
    else:
        rooms = (half, half)
    found = [
        cut_text(levels, capacity=room, overlap=overlap) for levels, room in zip((first, second), rooms, strict=True)
    ]
    count, tokens = max(map(len, found)), sum(sizes)
    places = [np.arange(count) * len(side) // count for side in found]
    weights = np.zeros(count)
    for side, place in zip(found, places, strict=True):
        owned = np.array([span.owned_end - span.owned_start for span in side])
        weights += (owned / np.bincount(place))[place] / tokens
    return [
        PairSpan(found[0][one], found[1][other], float(weight))
        for one, other, weight in zip(*places, weights, strict=True)
    ]


def _ordered_windows(first: TextTokens, second: TextTokens, *, capacity: int, overlap: int) -> TextWindows:
    """Return the windows with the first text before the second, each as ranges of its own tokens."""
    starts = np.stack([first.offsets[:-1], second.offsets[:-1]], axis=1)
    ends = np.stack([first.offsets[1:], second.offsets[1:]], axis=1)
    examples = np.arange(len(starts))
    whole = TextWindows(examples, np.zeros_like(examples), starts, ends, np.ones(len(examples)))
    is_long = (ends - starts).sum(1) > capacity
    if not is_long.any():
        return whole
    long = np.flatnonzero(is_long)
    spans_of = [
        cut_pair(
            first.levels[starts[example, 0] : ends[example, 0]],
            second.levels[starts[example, 1] : ends[example, 1]],
            capacity=capacity,
            overlap=overlap,
        )
        for example in long
    ]
    counts = [len(found) for found in spans_of]
    pairs = [span for found in spans_of for span in found]
    begins_R = np.repeat(starts[long], counts, axis=0)
    cut = TextWindows(
        np.repeat(long, counts),
        np.concatenate([np.arange(count) for count in counts]),
        begins_R + np.array([(span.first.start, span.second.start) for span in pairs]),
        begins_R + np.array([(span.first.end, span.second.end) for span in pairs]),
        np.array([span.weight for span in pairs]),
    )
    whole = whole.of(~is_long)
    return whole.and_then(cut, np.zeros(len(whole.examples) + len(pairs), bool))


def _compare(texts: TextTokens, pairs: TextTokens) -> npt.NDArray[np.bool_]:
    """Return for each pair whether its first text comes after the second, in some order of the texts by their ids."""
    lengths = [np.diff(side.offsets) for side in (texts, pairs)]
    later: npt.NDArray[np.bool_] = lengths[0] > lengths[1]
    for example in np.flatnonzero(lengths[0] == lengths[1]):
        one, other = (side.ids[side.offsets[example] : side.offsets[example + 1]] for side in (texts, pairs))
        later[example] = one.tolist() > other.tolist()
    return later
