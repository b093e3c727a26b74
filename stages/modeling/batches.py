"""Batches of windows under a budget of padded sub-words.

Shape legend: B windows in a batch, T sub-words in the longest of them, rounded up to a multiple of 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from stages.encoding.files import IGNORED, EncodedSplit

LENGTH_STEP = 8  # few distinct shapes, and rows that fill whole vector registers
POOL_BATCHES = 16  # batches drawn from one sorted pool: more means less padding but less mixing

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Tensors for one forward pass; `rows` are the row numbers in the split."""

    rows: Rows
    input_ids_BT: torch.Tensor
    attention_mask_BT: torch.Tensor
    labels_BT: torch.Tensor

    @property
    def subwords(self) -> int:
        """Real sub-words, without padding."""
        return int(self.attention_mask_BT.sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(
            self.rows, self.input_ids_BT.to(device), self.attention_mask_BT.to(device), self.labels_BT.to(device)
        )


def shuffled_rows(lengths: npt.NDArray[np.int32], *, budget: int, seed: int, epoch: int) -> list[Rows]:
    """Row numbers of each batch of an epoch, each row once, the same for the same seed and epoch.

    Rows are shuffled, cut into pools, sorted by length within a pool, cut into batches, and the batches shuffled: so
    a batch wastes little on padding, yet its company changes from epoch to epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    mean_length = max(1, int(lengths.mean()))
    pool_rows = max(1, POOL_BATCHES * budget // mean_length)
    batches = [
        batch
        for start in range(0, len(order), pool_rows)
        for batch in _by_budget(_longest_first(order[start : start + pool_rows], lengths), lengths, budget)
    ]
    return [batches[index] for index in generator.permutation(len(batches))]


def sorted_rows(lengths: npt.NDArray[np.int32], *, budget: int) -> list[Rows]:
    """Row numbers of batches for inference: all rows, longest first, the least padding there can be."""
    return list(_by_budget(_longest_first(np.arange(len(lengths)), lengths), lengths, budget))


def assemble(split: EncodedSplit, rows: Rows, *, pad_id: int) -> Batch:
    """Gather rows into padded tensors, with array operations on the memory-mapped columns."""
    starts = split.offsets[rows].astype(np.int64)
    lengths = (split.offsets[rows + 1] - split.offsets[rows]).astype(np.int64)
    columns_T = np.arange(_padded(int(lengths.max())))
    real_BT = columns_T < lengths[:, None]
    positions = (starts[:, None] + columns_T)[real_BT]
    return Batch(
        rows=rows,
        input_ids_BT=_filled(real_BT, split.input_ids[positions], pad_id),
        attention_mask_BT=torch.from_numpy(real_BT.astype(np.int64)),
        labels_BT=_filled(real_BT, split.labels[positions], IGNORED),
    )


def _filled(real_BT: npt.NDArray[np.bool_], values: npt.NDArray[np.int32], padding: int) -> torch.Tensor:
    filled_BT = np.full(real_BT.shape, padding, dtype=np.int64)
    filled_BT[real_BT] = values
    return torch.from_numpy(filled_BT)


def _longest_first(rows: Rows, lengths: npt.NDArray[np.int32]) -> Rows:
    return rows[np.argsort(-lengths[rows], kind="stable")]


def _by_budget(rows: Rows, lengths: npt.NDArray[np.int32], budget: int) -> Iterator[Rows]:
    """Cut rows, sorted longest first, into batches of at most `budget` padded sub-words; one row at least."""
    start = 0
    while start < len(rows):
        size = max(1, budget // _padded(int(lengths[rows[start]])))
        yield rows[start : start + size]
        start += size


def _padded(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP
