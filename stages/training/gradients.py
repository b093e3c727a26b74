"""fp32 gradients of a model: collected while the backward runs, summed over the processes that train together.

A gradient goes into the flat fp32 tensor of its group as soon as the backward has computed it, and its bf16 form is
freed. With several processes the flat tensors are reduced in buckets while the last backward of a step still runs. All
processes start the reductions in the same order, whatever each computes: a bucket waits for those before it, and those
that a backward left out follow at its end.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import distributed
from torch.nn import Parameter

from stages.training.distributed import SINGLE_PROCESS, World

# Large enough that the latency of a reduction is small beside its transfer, small enough that a base-size layer (28 MB)
# starts to travel before its backward has ended.
BUCKET_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Slot:
    """The range of a parameter in the flat tensors; for the token embeddings, that of the trained rows."""

    name: str
    parameter: Parameter
    group: int
    start: int
    shape: torch.Size

    @property
    def stop(self) -> int:
        """The end of the range."""
        return self.start + self.shape.numel()

    def of(self, flat: Sequence[torch.Tensor]) -> torch.Tensor:
        """The values of this parameter in one kind of flat tensors."""
        return flat[self.group][self.start : self.stop].view(self.shape)


@dataclass(frozen=True)
class Bucket:
    """A contiguous range of a flat tensor that is reduced at once, and the numbers of its slots."""

    group: int
    start: int
    stop: int
    slots: frozenset[int]


@dataclass
class _Collected:
    """What the gradients hold of the current step."""

    filled: set[int] = field(default_factory=set)  # slots that got a gradient
    complete: set[int] = field(default_factory=set)  # slots that got their last one
    is_last: bool = False  # whether the backward that runs is the last of the step
    reductions: list[distributed.Work] = field(default_factory=list)  # of the first buckets, as many as were started


class Gradients:
    """The gradients of the next step, flat: one tensor for each group of `slots`, in fp32.

    `vocabulary` holds the ids of the rows that the token embeddings have in their slot.
    """

    def __init__(self, slots: Sequence[Slot], *, vocabulary: torch.Tensor, embedding_rows: int) -> None:
        device = vocabulary.device
        self.slots = slots
        self.vocabulary = vocabulary
        self.row_of_id = torch.full((embedding_rows,), -1, device=device)
        self.row_of_id[vocabulary] = torch.arange(len(vocabulary), device=device)
        lengths = [max(slot.stop for slot in slots if slot.group == group) for group in range(_group_count(slots))]
        self.flat = [torch.empty(length, device=device) for length in lengths]
        self._world = SINGLE_PROCESS
        self._buckets: list[Bucket] = []
        self._bucket_of: dict[int, int] = {}
        self._collected = _Collected()

    @contextmanager
    def collect(self, world: World = SINGLE_PROCESS) -> Iterator[None]:
        """While active, each backward adds to these gradients instead of leaving them with the parameters.

        With several processes all of them must take part in each step: they call `reduce` once.
        """
        self.clear()
        self._world = world
        self._buckets = cut_buckets(self.slots) if world.size > 1 else []
        self._bucket_of = {slot: number for number, bucket in enumerate(self._buckets) for slot in bucket.slots}
        hooks = [
            slot.parameter.register_post_accumulate_grad_hook(partial(self._take, number))
            for number, slot in enumerate(self.slots)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def begin_backward(self, *, is_last: bool) -> None:
        """Announce a backward, and whether it is the last of this step: then a complete bucket is reduced at once."""
        self._collected.is_last = is_last

    def restart(self) -> None:
        """Drop the gradients, so that this step can be computed again, after a part of it did not fit into memory.

        A bucket whose reduction was started holds all that this process contributes: it stays, and what is computed
        for it again is dropped. So the other processes notice nothing.
        """
        reductions = self._collected.reductions
        kept = {number for bucket in self._buckets[: len(reductions)] for number in bucket.slots}
        self._collected = _Collected(filled=kept, reductions=reductions)

    def reduce(self) -> list[torch.Tensor]:
        """The flat gradients, summed over all processes; zeros where none was computed.

        Called again, it returns the same sums.
        """
        for number, slot in enumerate(self.slots):
            if number not in self._collected.filled:
                slot.of(self.flat).zero_()
                self._collected.filled.add(number)
        for bucket in self._buckets[len(self._collected.reductions) :]:
            self._start(bucket)
        for reduction in self._collected.reductions:
            reduction.wait()
        return self.flat

    def clear(self) -> None:
        """Drop the gradients, after a step."""
        self._collected = _Collected()

    def _take(self, number: int, parameter: Parameter) -> None:
        """Take over the gradient that a backward has just computed for a slot."""
        gradient, parameter.grad = parameter.grad, None
        collected = self._collected
        if gradient is None or self._bucket_of.get(number, 0) < len(collected.reductions):
            return
        self._add(number, gradient)
        collected.filled.add(number)
        if collected.is_last and self._buckets:
            collected.complete.add(number)
            for bucket in self._buckets[len(collected.reductions) :]:
                if not bucket.slots <= collected.complete:
                    break
                self._start(bucket)

    def _add(self, number: int, gradient: torch.Tensor) -> None:
        slot, is_first = self.slots[number], number not in self._collected.filled
        flat = slot.of(self.flat)
        if gradient.is_sparse:
            if is_first:
                flat.zero_()
            rows = self.row_of_id[gradient._indices()[0]]
            # The padding token has no row. Selecting the others would wait for the device to count them.
            values = gradient._values().float().masked_fill(rows[:, None] < 0, 0)
            flat.index_add_(0, rows.clamp(min=0), values)
            return
        if slot.shape != gradient.shape:  # an architecture that does not use its embedding sparsely
            gradient = gradient[self.vocabulary]
        if is_first:
            flat.copy_(gradient)
        else:
            flat.add_(gradient.float())  # adding the bf16 tensor itself takes ten times as long

    def _start(self, bucket: Bucket) -> None:
        values = self.flat[bucket.group][bucket.start : bucket.stop]
        self._collected.reductions.append(self._world.start_all_reduce(values))


def cut_buckets(slots: Sequence[Slot]) -> list[Bucket]:
    """Cut each group at its slots into ranges of at least BUCKET_BYTES, from its end, since a backward starts there.

    They are in the order in which a backward completes them: last the one with the parameter nearest to the input.
    """
    buckets: list[Bucket] = []
    for group in range(_group_count(slots)):
        numbers = [number for number, slot in enumerate(slots) if slot.group == group]
        chosen: list[int] = []
        for number in reversed(numbers):
            chosen.append(number)
            start, stop = slots[number].start, slots[chosen[0]].stop
            if 4 * (stop - start) >= BUCKET_BYTES or number == numbers[0]:
                buckets.append(Bucket(group, start, stop, frozenset(chosen)))
                chosen = []
    return sorted(buckets, key=lambda bucket: min(bucket.slots), reverse=True)


def _group_count(slots: Sequence[Slot]) -> int:
    return 1 + max(slot.group for slot in slots)
