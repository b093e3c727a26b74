"""Several processes that train one model together: each computes a share of every batch, and gradients are added up.

Each holds the same weights, which go the same way, since all take the same steps by the same sums. torchrun starts them
(see stages/runtime/launch.py); it tells each its rank, and where they meet, in the environment.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from stages.errors import TrainingError, first_line

PATIENCE = timedelta(minutes=30)  # how long one waits for another, which may be scoring dev or writing a checkpoint


@dataclass(frozen=True)
class Processes:
    """How many there are and which of them this one is."""

    rank: int
    count: int

    @property
    def is_main_process(self) -> bool:
        """Whether this is the one process that scores, logs and writes."""
        return self.rank == 0

    def shard(self, parts: Sequence[slice]) -> slice:
        """This process's part of a batch; an empty one where there are fewer parts than processes."""
        return parts[self.rank] if self.rank < len(parts) else slice(0, 0)

    def all_reduce(self, loss: float, gradients: Sequence[torch.Tensor]) -> float:
        """Add the gradients of all processes up, in place, and return the sum of their losses."""
        if self.count == 1:
            return loss
        losses = torch.tensor([loss], dtype=torch.float64, device=gradients[0].device)
        for tensor in (losses, *gradients):
            distributed.all_reduce(tensor)
        return float(losses.item())

    def any(self, said: bool) -> bool:
        """Whether any of the processes says so."""
        if self.count == 1:
            return said
        votes = torch.tensor([int(said)])
        distributed.all_reduce(votes)
        return bool(votes.item())

    def broadcast(self, value: Any) -> Any:
        """The leader's `value` (anything JSON could hold), in each process."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Set the tensors to the leader's, in place."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)


SINGLE_PROCESS = Processes(rank=0, count=1)


@contextmanager
def process_group() -> Iterator[Processes]:
    """The processes that torchrun started this one with; SINGLE_PROCESS if it did not.

    Within, what fails because another process is gone is a TrainingError.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield SINGLE_PROCESS
        return
    distributed.init_process_group("cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    except RuntimeError as error:
        if not any(word in str(error) for word in ("Connection", "gloo", "NCCL", "Timed out")):
            raise
        raise TrainingError(f"another process of this training is gone: {first_line(error)}") from error
    finally:
        distributed.destroy_process_group()
