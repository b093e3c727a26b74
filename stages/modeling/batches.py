"""Batches of windows under a budget of sub-words, packed: one row after another, without a single padded place.

Rows of a batch stand longest first. Every operation of an encoder but attention works on each sub-word for itself, and
takes them as one long sequence; attention takes rows of about one length together (a `Group`).

Shape legend: N sub-words of a batch or of a part of it, L those of them that have a label, B rows.
"""

from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import torch

from stages.encoding.files import IGNORED, EncodedSplit

POOL_BATCHES = 16  # batches drawn from one pool sorted by length: more means fewer lengths in a batch but less mixing
SHORTEST_GROUP = 16  # softmax over fewer values takes four times as long on a CPU
GROUP_STEP = 4  # lengths of groups are multiples of this: fewer shapes, for each of which kernels are made
LEAST_FILLED = 0.8  # of the length of its group, a row fills as much

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Neighbouring rows that attention pads to one length."""

    rows: int
    length: int


@dataclass(frozen=True)
class Batch:
    """Tensors for one forward pass over the whole of an optimizer batch, or over a part of it.

    `rows` are row numbers in the split. `tokens_before`, `labels_before` and `pairs_before` (of places in one row of
    a group) count what the parts before this one hold, so that a dropout mask can be drawn for the place and not for
    the part.
    """

    rows: Rows
    lengths_B: npt.NDArray[np.int64]
    groups: tuple[Group, ...]
    input_ids_N: torch.Tensor
    positions_N: torch.Tensor  # from 0 in each row
    labelled_L: torch.Tensor  # places in N
    labels_L: torch.Tensor
    tokens_before: int = 0
    labels_before: int = 0
    pairs_before: int = 0

    @property
    def tokens(self) -> int:
        """How many sub-words; none of them is padding."""
        return len(self.input_ids_N)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        if device.type == "cpu":
            return self
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return Batch(**(vars(self) | tensors))


def shuffled_rows(lengths: npt.NDArray[np.int32], *, budget: int, seed: int, epoch: int) -> list[Rows]:
    """Row numbers of each batch of an epoch, longest first, each row once, the same for the same seed and epoch.

    Rows are shuffled, cut into pools, sorted by length within a pool, cut into batches, and the batches shuffled: so
    a batch has few lengths, yet its company changes from epoch to epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    batch_count = max(1, round(int(lengths.sum()) / budget))
    batches = [
        batch
        for pool in np.array_split(order, min(len(order), -(-batch_count // POOL_BATCHES)))
        for batch in _cut(_longest_first(pool, lengths), lengths, budget)
    ]
    return [batches[index] for index in generator.permutation(len(batches))]


def sorted_rows(lengths: npt.NDArray[np.int32], *, budget: int) -> list[Rows]:
    """Row numbers of batches for inference: all rows, longest first."""
    return _cut(_longest_first(np.arange(len(lengths)), lengths), lengths, budget)


def parts(rows: Rows, lengths: npt.NDArray[np.int32], *, count: int) -> list[slice]:
    """Cut the rows of a batch into at most `count` neighbouring parts of about equally many sub-words, none empty."""
    ends = np.cumsum(lengths[rows])
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, count) / count, side="left") + 1
    bounds = np.unique(np.concatenate([[0], cuts, [len(rows)]]))
    return [slice(start, end) for start, end in pairwise(bounds.tolist())]


def collate(split: EncodedSplit, rows: Rows, part: slice = slice(None)) -> Batch:
    """Gather `rows[part]` into packed tensors, with array operations on the memory-mapped columns.

    `rows` are those of the optimizer batch, longest first.
    """
    before, chosen = rows[: part.start or 0], rows[part]
    lengths = split.lengths[rows].astype(np.int64)
    padded = _padded_lengths(lengths)
    positions, places_N = places(split, chosen)
    labels = split.labels[places_N]
    labelled = np.flatnonzero(labels != IGNORED)
    return Batch(
        rows=chosen,
        lengths_B=lengths[part],
        groups=tuple(Group(len(list(run)), length) for length, run in groupby(padded[part])),
        input_ids_N=torch.from_numpy(split.input_ids[places_N].astype(np.int64)),
        positions_N=torch.from_numpy(positions),
        labelled_L=torch.from_numpy(labelled),
        labels_L=torch.from_numpy(labels[labelled].astype(np.int64)),
        tokens_before=int(lengths[: len(before)].sum()),
        labels_before=label_count(split, before),
        pairs_before=sum(length**2 for length in padded[: len(before)]),
    )


def label_count(split: EncodedSplit, rows: Rows) -> int:
    """How many sub-words of these rows have a label."""
    _, places_N = places(split, rows)
    return int((split.labels[places_N] != IGNORED).sum())


def places(split: EncodedSplit, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each sub-word of the rows, in order: its position in its row, and its place in the split's columns."""
    lengths = split.lengths[rows].astype(np.int64)
    positions = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return positions, positions + np.repeat(split.offsets[rows].astype(np.int64), lengths)


def _padded_lengths(lengths: npt.NDArray[np.int64]) -> list[int]:
    """Of each row of a batch, longest first: the length of its group, that of neighbours nearly as long."""
    padded: list[int] = []
    for length in lengths.tolist():
        if not padded or length < LEAST_FILLED * padded[-1]:
            own = max(SHORTEST_GROUP, -(-length // GROUP_STEP) * GROUP_STEP)
        padded.append(own)
    return padded


def _longest_first(rows: Rows, lengths: npt.NDArray[np.int32]) -> Rows:
    return rows[np.argsort(-lengths[rows], kind="stable")]


def _cut(rows: Rows, lengths: npt.NDArray[np.int32], budget: int) -> list[Rows]:
    """Cut rows, longest first, into batches of about equally many sub-words, as near to `budget` as that allows."""
    count = max(1, round(int(lengths[rows].sum()) / budget))
    return [rows[part] for part in parts(rows, lengths, count=count)]
