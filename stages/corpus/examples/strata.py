"""Divide texts among train, dev and test by a hash, so that each label has its share in each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.splits import Int8s, SplitParams
from stages.corpus.text.sentences import Int32s, UInt64s, digests_of

SEPARATOR = "\x1f"  # between the labels of a set; readers refuse labels that contain it
TEST, DEV = 2, 1  # numbers of splits

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Assignment:
    """The split of each text, 9 bytes a text."""

    digests: UInt64s  # [T] of the distinct texts, sorted
    numbers: Int8s  # [T] 0, 1 or 2 for train, dev or test

    def look_up(self, digests: UInt64s) -> Int8s:
        """Return the number of the split of each of these texts, all of which are known."""
        numbers: Int8s = self.numbers[np.searchsorted(self.digests, digests)]
        return numbers


def assign_texts(blocks: Iterable[ExampleBlock], shares: SplitParams) -> Assignment:
    """Assign each text to a split, whatever the order of the blocks; equal texts to one.

    Of the texts of each label, sorted by their hash, the first become test and the next dev, as many as their shares
    ask for; what is left over of a text by rounding is decided by a hash of the label, so that over many rare labels
    the shares hold too. A label keeps at least one text in train. A text of several labels counts for the rarest of
    them; numbers count as one label.
    """
    sets: dict[str, int] = {}  # each set of labels, joined -> its number
    digests, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int32)]
    for block in blocks:
        digests.append(block.digests)
        numbers.append(_number_sets(block, sets))
    digests_E, sets_E = np.concatenate(digests), np.concatenate(numbers)
    names, strata_E = _choose_strata(list(sets), sets_E)
    order = np.lexsort((strata_E, digests_E))
    digests_E, strata_E = digests_E[order], strata_E[order]
    is_first = np.ones(len(digests_E), bool)
    is_first[1:] = digests_E[1:] != digests_E[:-1]
    digests_T, strata_T = digests_E[is_first], strata_E[is_first]
    return Assignment(digests_T, _divide(strata_T, digests_of(names) / 2.0**64, shares))


def _divide(strata_T: Int64s, offsets: npt.NDArray[np.float64], shares: SplitParams) -> Int8s:
    """[T] the splits of texts that are sorted by digest; `offsets` in [0, 1) are those of the strata in rounding."""
    test, dev = shares.test or 0.0, shares.dev or 0.0
    counts = np.bincount(strata_T, minlength=len(offsets))
    spare = np.maximum(counts - 1, 0)
    tests = np.minimum(np.floor(counts * test + offsets).astype(np.int64), spare) if test else np.zeros_like(counts)
    ends = np.minimum(np.floor(counts * (test + dev) + offsets).astype(np.int64), spare) if dev else tests.copy()
    if len(counts) and test and not tests.any():  # a small corpus has a text in each split too
        tests[np.argmax(spare - 1)] += spare.max() > 1
        ends = np.maximum(ends, tests)
    if len(counts) and dev and not (ends - tests).any():
        ends[np.argmax(spare - ends)] += (spare - ends).max() > 0
    order = np.argsort(strata_T, kind="stable")
    starts = np.cumsum(counts) - counts
    ranks_T = np.empty(len(strata_T), np.int64)
    ranks_T[order] = np.arange(len(strata_T)) - np.repeat(starts, counts)
    numbers: Int8s = np.select([ranks_T < tests[strata_T], ranks_T < ends[strata_T]], [TEST, DEV], 0).astype(np.int8)
    return numbers


def _number_sets(block: ExampleBlock, sets: dict[str, int]) -> Int32s:
    """[E] the number of each example's set of labels; new ones are added to `sets`."""
    if block.labels is None:
        sets.setdefault("", 0)
        return np.zeros(len(block), np.int32)
    joined = pc.binary_join(block.labels, SEPARATOR).dictionary_encode()
    known = np.array([sets.setdefault(each, len(sets)) for each in joined.dictionary.to_pylist()], np.int32)
    numbers: Int32s = known[joined.indices.to_numpy()]
    return numbers


def _choose_strata(sets: list[str], sets_E: Int32s) -> tuple[list[str], Int64s]:
    """Return the labels, sorted, and for each example the number of the rarest of its own."""
    counts = np.bincount(sets_E, minlength=len(sets))
    labels: Counter[str] = Counter()
    for joined, count in zip(sets, counts.tolist(), strict=True):
        labels.update(dict.fromkeys(joined.split(SEPARATOR), count))
    names = sorted(labels)
    places = {name: place for place, name in enumerate(names)}
    rarest = [min(joined.split(SEPARATOR), key=lambda label: (labels[label], label)) for joined in sets]
    return names, np.array([places[label] for label in rarest], np.int64)[sets_E]
