"""Packs the batches of the next steps while a GPU computes the current one.

A CPU packs each step when it is due: a thread beside its own takes 10 % of the tokens per second on two cores.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType

import numpy as np
import torch

from stages.modeling.batches import Batch, Rows, split_rows, token_indices
from stages.modeling.head import Split, split_at
from stages.training.distributed import World

AHEAD = 2  # steps: one may take long to pack, and each that waits holds memory


@dataclass(frozen=True)
class PackedStep:
    """The optimizer batch of a step, and what this process computes of it.

    `weight` is that of the whole batch (see `Split`), by which its loss is divided. `parts` hold this process's shard
    in micro-batches, none for an empty shard.
    """

    weight: float
    parts: list[Batch]


class PackedSteps:
    """The steps with the optimizer batches `plan`; `in_thread`, each is packed up to AHEAD steps before it is needed.

    `pack` makes a batch of a part of the rows of an optimizer batch, from the split as it is in that step with this
    `seed`. A micro-batch has at most `micro_batch_tokens` tokens, or one row. The thread ends with the context.
    """

    def __init__(
        self,
        plan: list[Rows],
        split: Split,
        pack: Callable[[Split, Rows, slice], Batch],
        *,
        seed: int,
        world: World,
        micro_batch_tokens: int,
        in_thread: bool,
    ) -> None:
        self.plan = plan
        self.split = split
        self.pack = pack
        self.seed = seed
        self.world = world
        self._micro_batch_tokens = micro_batch_tokens
        self._queue: dict[int, Future[PackedStep]] = {}  # by the index of the step
        # A thread begins with the first GPU, in which pinning its memory would take some for nothing.
        begin = partial(torch.cuda.set_device, torch.cuda.current_device()) if torch.cuda.is_available() else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pack", initializer=begin) if in_thread else None

    def __enter__(self) -> "PackedSteps":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def get(self, index: int) -> PackedStep:
        """Take step `index` and have those after it packed; raises what packing this step raised."""
        if self._thread is None:
            return self._pack_step(index, self._micro_batch_tokens)
        for ahead in range(index, min(index + AHEAD + 1, len(self.plan))):
            if ahead not in self._queue:
                self._queue[ahead] = self._thread.submit(self._pack_step, ahead, self._micro_batch_tokens)
        return self._queue.pop(index).result()

    def repack(self, micro_batch_tokens: int) -> None:
        """Drop what was packed ahead: from now on micro-batches have at most `micro_batch_tokens` tokens."""
        for future in self._queue.values():
            future.cancel()
        self._queue.clear()
        self._micro_batch_tokens = micro_batch_tokens

    def longest_row(self, index: int) -> int:
        """The tokens of the longest row that this process computes in step `index`; 0 if it computes none."""
        rows = self.plan[index]
        return int(self.split.lengths[rows[self._shard(rows)]].max(initial=0))

    def _shard(self, rows: Rows) -> slice:
        return self.world.shard(split_rows(rows, self.split.lengths, count=self.world.size))

    def _pack_step(self, index: int, micro_batch_tokens: int) -> PackedStep:
        rows, split = self.plan[index], split_at(self.split, self.seed, index)
        slices = _micro_batches(rows, self._shard(rows), split, micro_batch_tokens)
        parts = [self.pack(split, rows, part) for part in slices]
        return PackedStep(split.weight(rows, token_indices(split, rows)[1]), parts)


def packs_ahead(device: torch.device) -> bool:
    """Whether a thread packs for this device, since it leaves the host time."""
    return device.type != "cpu"


def _micro_batches(rows: Rows, shard: slice, split: Split, micro_batch_tokens: int) -> Iterator[slice]:
    """Cut this process's shard of a batch into consecutive parts of at most `micro_batch_tokens` tokens, or one row."""
    ends = np.cumsum(split.lengths[rows[shard]])
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + micro_batch_tokens, side="right")))
        yield slice(shard.start + start, shard.start + stop)
        start = stop
