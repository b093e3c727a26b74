"""Batches of windows under a budget of tokens, packed: one row after another, without any padding.

The rows of a batch are sorted by length, descending. All operations of an encoder but attention are applied to each
token independently, so they run over one long sequence; attention takes rows as they lie in it (attention.py).

`collate` gives what a split holds, `pack` in encoder.py completes it for a model and a device.

Shape legend: N tokens of a batch or of a part of it, L labelled tokens, B rows of up to T tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stages.encoding.files import IGNORED, EncodedSplit
from stages.modeling.attention import Group, GroupedRows, UnpaddedRows, group_lengths, groups_of

POOL_BATCHES = 16  # batches per pool that is sorted by length: more mean fewer lengths in a batch but less mixing

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PaddedRows:
    """Rows for a model's own forward, padded to the longest; `labelled_L` are indices into B * T."""

    input_ids_BT: torch.Tensor
    mask_BT: torch.Tensor  # 1 for tokens, 0 for padding
    labelled_L: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """Tensors for one forward pass over an optimizer batch, or over a part of it.

    `rows` are row numbers in the split. `tokens_before`, `labels_before` and `pairs_before` (of positions in one row of
    a group) count what the earlier parts of the optimizer batch hold, so that dropout masks do not depend on the parts.

    Once packed, N and L are rounded up: the last tokens belong to no row, and the last labels, if any, are IGNORED.
    """

    rows: Rows
    lengths_B: npt.NDArray[np.int64]
    groups: tuple[Group, ...]
    input_ids_N: torch.Tensor
    positions_N: torch.Tensor  # from 0 in each row; once packed, as the model counts them
    labelled_L: torch.Tensor  # indices into N
    labels_L: torch.Tensor
    tokens_before: int = 0
    labels_before: int = 0
    pairs_before: int = 0
    form: GroupedRows | UnpaddedRows | PaddedRows | None = None  # what the model takes; None until packed

    @property
    def tokens(self) -> int:
        """The number of tokens, none of which is padding."""
        return int(self.lengths_B.sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`; from pinned memory it is copied while the host goes on."""
        if device.type == "cpu":
            return self
        moved: Batch = _map_tensors(lambda values: values.to(device, non_blocking=True), self)
        return moved

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from which a GPU copies by itself."""
        pinned: Batch = _map_tensors(torch.Tensor.pin_memory, self)
        return pinned


def shuffled_rows(lengths: npt.NDArray[np.int32], *, budget: int, seed: int, epoch: int) -> list[Rows]:
    """Row numbers of each batch of an epoch, longest first; every row once, determined by seed and epoch.

    Rows are shuffled, cut into pools, sorted by length within each pool and cut into batches, which are shuffled: a
    batch has few lengths, yet different rows in each epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    batch_count = max(1, round(int(lengths.sum()) / budget))
    batches = [
        batch
        for pool in np.array_split(order, min(len(order), -(-batch_count // POOL_BATCHES)))
        for batch in _cut_batches(_sort_by_length(pool, lengths), lengths, budget)
    ]
    return [batches[index] for index in generator.permutation(len(batches))]


def sorted_rows(lengths: npt.NDArray[np.int32], *, budget: int) -> list[Rows]:
    """Row numbers of each batch for inference: all rows, longest first."""
    return _cut_batches(_sort_by_length(np.arange(len(lengths)), lengths), lengths, budget)


def split_rows(rows: Rows, lengths: npt.NDArray[np.int32], *, count: int) -> list[slice]:
    """Cut the rows of a batch into at most `count` consecutive parts of about equally many tokens, none empty."""
    ends = np.cumsum(lengths[rows])
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, count) / count, side="left") + 1
    bounds = np.unique(np.concatenate([[0], cuts, [len(rows)]]))
    return [slice(start, end) for start, end in pairwise(bounds.tolist())]


def collate(split: EncodedSplit, rows: Rows, part: slice = slice(None)) -> Batch:
    """Gather `rows[part]` into packed tensors, with array operations on the memory-mapped columns.

    `rows` are all rows of the optimizer batch, longest first.
    """
    before, chosen = rows[: part.start or 0], rows[part]
    lengths = split.lengths[rows].astype(np.int64)
    padded = group_lengths(lengths)
    positions, index_N = token_indices(split, chosen)
    labels = split.labels[index_N]
    labelled = np.flatnonzero(labels != IGNORED)
    return Batch(
        rows=chosen,
        lengths_B=lengths[part],
        groups=groups_of(padded[part]),
        input_ids_N=torch.from_numpy(split.input_ids[index_N].astype(np.int64)),
        positions_N=torch.from_numpy(positions),
        labelled_L=torch.from_numpy(labelled),
        labels_L=torch.from_numpy(labels[labelled].astype(np.int64)),
        tokens_before=int(lengths[: len(before)].sum()),
        labels_before=label_count(split, before),
        pairs_before=sum(length**2 for length in padded[: len(before)]),
    )


def label_count(split: EncodedSplit, rows: Rows) -> int:
    """The number of labelled tokens of these rows."""
    _, index_N = token_indices(split, rows)
    return int((split.labels[index_N] != IGNORED).sum())


def token_indices(split: EncodedSplit, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each token of the rows, in order: its position in its row, and its index in the columns of the split."""
    lengths = split.lengths[rows].astype(np.int64)
    positions = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return positions, positions + np.repeat(split.offsets[rows].astype(np.int64), lengths)


def _map_tensors(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """The value with `function` applied to every tensor in it, those in tuples and dataclasses included."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, tuple):
        return tuple(_map_tensors(function, item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{name: _map_tensors(function, item) for name, item in vars(value).items()})
    return value


def _sort_by_length(rows: Rows, lengths: npt.NDArray[np.int32]) -> Rows:
    return rows[np.argsort(-lengths[rows], kind="stable")]


def _cut_batches(rows: Rows, lengths: npt.NDArray[np.int32], budget: int) -> list[Rows]:
    """Cut rows, longest first, into batches of about equally many tokens, as close to `budget` as possible."""
    count = max(1, round(int(lengths[rows].sum()) / budget))
    return [rows[part] for part in split_rows(rows, lengths, count=count)]
