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

from stages.modeling.attention import Group, GroupedRows, UnpaddedRows, group_lengths, groups_of
from stages.modeling.head import Split

POOL_BATCHES = 16  # batches per pool that is sorted by length: more mean fewer lengths in a batch but less mixing
REPLAY_STREAM = 1  # sets the draw of old rows apart from the order of batches

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PaddedRows:
    """Rows for a model's own forward, padded to the longest; `places_L` are indices into B * T."""

    input_ids_BT: torch.Tensor
    mask_BT: torch.Tensor  # 1 for tokens, 0 for padding
    token_types_BT: torch.Tensor | None
    places_L: torch.Tensor


@dataclass(frozen=True)
class Pool:
    """An output is the mean of the hidden states at some places: [L] the output of each, and [O] how many each has.

    Once packed, places that belong to no row go to an output behind the others, which is dropped.
    """

    output_L: torch.Tensor
    size_O: torch.Tensor  # in fp32


@dataclass(frozen=True)
class Batch:
    """Tensors for one forward pass over an optimizer batch, or over a part of it.

    `rows` are row numbers in the split. `tokens_before`, `places_before`, `outputs_before` and `pairs_before` (of
    positions in one row of a group) count what the earlier parts of the optimizer batch hold, so that dropout masks do
    not depend on the parts.

    Once packed, N and L are rounded up, for a GPU O as well: the last tokens belong to no row, and the last answers
    count for nothing.
    """

    rows: Rows
    lengths_B: npt.NDArray[np.int64]
    groups: tuple[Group, ...]
    input_ids_N: torch.Tensor
    positions_N: torch.Tensor  # from 0 in each row; once packed, as the model counts them
    token_types_N: torch.Tensor | None  # 1 from the second text of a row on; None if no row has one
    places_L: torch.Tensor  # indices into N
    pool: Pool | None  # how the outputs are made of the places; None if they are the places themselves
    answers: tuple[torch.Tensor, ...]  # as the loss takes them, the first one [O]
    padding: tuple[float | None, ...]  # the value of each that makes an output count for nothing; see `Outputs`
    outputs: int  # as many as answers, without those
    tokens_before: int = 0
    places_before: int = 0
    outputs_before: int = 0
    pairs_before: int = 0
    form: GroupedRows | UnpaddedRows | PaddedRows | None = None  # what the model takes; None until packed
    states_ND: torch.Tensor | None = (
        None  # states after the frozen layers, if they were kept (see adaptation/states.py)
    )

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


def choose_rows(new: int, old: int, *, share: float, seed: int, epoch: int) -> Rows:
    """The rows of an epoch: all `new` ones, and of the `old` ones behind them so many that they are this share.

    Seed and epoch alone decide which. A smaller share draws some of those of a larger one; each is there once at most,
    so that few old rows may be a smaller share.
    """
    wanted = round(new * share / (1 - share))
    drawn = np.random.default_rng([seed, epoch, REPLAY_STREAM]).permutation(old)[:wanted]
    return np.append(np.arange(new), new + np.sort(drawn))


def shuffled_rows(
    lengths: npt.NDArray[np.int32], *, budget: int, seed: int, epoch: int, rows: Rows | None = None
) -> list[Rows]:
    """Row numbers of each batch of an epoch, longest first; all rows, or these, determined by seed and epoch.

    Rows are shuffled, cut into pools, sorted by length within each pool and cut into batches, which are shuffled: a
    batch has few lengths, yet different rows in each epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(np.arange(len(lengths)) if rows is None else rows)
    batch_count = max(1, round(int(lengths[order].sum()) / budget))
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


def collate(split: Split, rows: Rows, part: slice = slice(None)) -> Batch:
    """Gather `rows[part]` into packed tensors, with array operations on the memory-mapped columns.

    `rows` are all rows of the optimizer batch, longest first.
    """
    before, chosen = rows[: part.start or 0], rows[part]
    lengths = split.lengths[rows].astype(np.int64)
    padded = group_lengths(lengths)
    positions, index_N = token_indices(split, chosen)
    outputs = split.outputs(chosen, index_N)
    earlier = split.outputs(before, token_indices(split, before)[1]) if len(before) else None
    input_ids_N = split.input_ids[index_N] if outputs.input_ids_N is None else outputs.input_ids_N
    return Batch(
        rows=chosen,
        lengths_B=lengths[part],
        groups=groups_of(padded[part]),
        input_ids_N=torch.from_numpy(input_ids_N.astype(np.int64)),
        positions_N=torch.from_numpy(positions),
        token_types_N=_token_types(split, chosen, positions),
        places_L=torch.from_numpy(outputs.places_L),
        pool=_pool(outputs.row_L, len(chosen)),
        answers=tuple(torch.from_numpy(values) for values in outputs.answers),
        padding=outputs.padding,
        outputs=len(outputs.answers[0]),
        tokens_before=int(lengths[: len(before)].sum()),
        places_before=len(earlier.places_L) if earlier else 0,
        outputs_before=len(earlier.answers[0]) if earlier else 0,
        pairs_before=sum(length**2 for length in padded[: len(before)]),
    )


def _token_types(split: Split, rows: Rows, positions_N: npt.NDArray[np.int64]) -> torch.Tensor | None:
    if split.second is None:
        return None
    second_B = split.second[rows].astype(np.int64)
    second_N = np.repeat(second_B, split.lengths[rows])
    return torch.from_numpy(((second_N >= 0) & (positions_N >= second_N)).astype(np.int64))


def _pool(row_L: npt.NDArray[np.int64] | None, rows: int) -> Pool | None:
    if row_L is None:
        return None
    sizes = np.bincount(row_L, minlength=rows).astype(np.float32)
    return Pool(torch.from_numpy(row_L), torch.from_numpy(sizes))


def token_indices(split: Split, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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
