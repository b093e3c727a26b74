"""Data-parallel training: each process computes a shard of every batch, and the gradients are summed.

All processes hold the same weights and take the same steps, since they use the same sums. torchrun starts them (see
stages/runtime/launch.py) and passes each its rank and their meeting point in the environment.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
from torch import distributed

from stages.errors import TrainingError, first_line

TIMEOUT = timedelta(minutes=30)  # a process may have to wait while the main one scores dev or writes a checkpoint


@dataclass(frozen=True)
class World:
    """The processes that train together: their number, and the rank of this one."""

    rank: int
    size: int

    @property
    def is_main_process(self) -> bool:
        """Whether this is the one process that scores, logs and writes."""
        return self.rank == 0

    def shard(self, parts: Sequence[slice]) -> slice:
        """This process's part of a batch; an empty one where there are fewer parts than processes."""
        return parts[self.rank] if self.rank < len(parts) else slice(0, 0)

    def all_reduce(self, tensors: Sequence[torch.Tensor]) -> None:
        """Set the tensors of every process to their sums over all processes, in place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def start_all_reduce(self, tensor: torch.Tensor) -> distributed.Work:
        """As `all_reduce` for one tensor, in the background, until the `wait` of the result.

        On a GPU the device waits then, not the host. All processes must start the same reductions in the same order.
        """
        return cast(distributed.Work, distributed.all_reduce(tensor, async_op=True))

    def any(self, value: bool) -> bool:
        """Whether `value` is true in any of the processes."""
        if self.size == 1:
            return value
        votes = torch.tensor([int(value)])
        distributed.all_reduce(votes)
        return bool(votes.item())

    def broadcast(self, value: Any) -> Any:
        """The main process's `value`, which JSON could hold, in every process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Set the tensors of every process to those of the main process, in place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)


SINGLE_PROCESS = World(rank=0, size=1)


@contextmanager
def process_group() -> Iterator[World]:
    """Join the processes that torchrun started; SINGLE_PROCESS if it did not start this one.

    While it is active, an error that the loss of another process causes is raised as a TrainingError.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield SINGLE_PROCESS
        return
    distributed.init_process_group("cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        yield World(distributed.get_rank(), distributed.get_world_size())
    except RuntimeError as error:
        if not any(word in str(error) for word in ("Connection", "gloo", "NCCL", "Timed out")):
            raise
        raise TrainingError(f"lost another process of this training run: {first_line(error)}") from error
    finally:
        distributed.destroy_process_group()
