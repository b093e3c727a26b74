"""CUDA graphs of forward, loss and backward: hundreds of kernels that the host starts with one call.

Starting a kernel takes the host longer than a GPU takes to compute most of them: on an H200, 34 ms of a step of 4,096
tokens in which the GPU is busy for 5. A graph is captured once for each shape, the second time that it comes up, and
replayed from then on with other values in the same memory. It runs the kernels that would be started one by one, with
the same random numbers, so that the results have the same bits.
"""

import logging
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass

import torch

from stages.errors import first_line
from stages.modeling.attention import UnpaddedRows
from stages.modeling.batches import Batch
from stages.modeling.dropout import Masks
from stages.training.distributed import World
from stages.training.gradients import Gradients

MOST = 64  # graphs: each holds some megabytes

# Of a batch, the weight of its step, and its dropout masks; it returns the loss.
Backward = Callable[[Batch, torch.Tensor, Masks], torch.Tensor]

log = logging.getLogger("train")


@dataclass(frozen=True)
class _Graph:
    """`replay` computes `loss` and the gradients of the slots `filled` from the values in `batch` and `weight`."""

    replay: Callable[[], None]
    batch: Batch
    weight: torch.Tensor
    loss: torch.Tensor
    filled: frozenset[int]


class Graphs:
    """Runs `backward` for packed batches: directly, or with a graph where a shape comes up again.

    All graphs share the memory of their intermediate results: a loss must be used before the next one is computed.
    """

    def __init__(self, backward: Backward, gradients: Gradients, device: torch.device, *, world: World) -> None:
        self._backward = backward
        self._gradients = gradients
        self._device = device
        self._capture = Capture() if can_capture(device) and world.size == 1 else None  # reductions need the host
        self._seen: set[Hashable] = set()
        self._graphs: dict[Hashable, _Graph] = {}

    def run(self, packed: Batch, weight: float, masks: Masks) -> torch.Tensor:
        """The loss of a batch, whose gradients are collected."""
        graph = self._find(packed, masks)
        masks.seed_generators(packed.tokens_before)
        if graph is None:
            return self._backward(packed.to(self._device), self._on_device(weight), masks)
        for values, latest in zip(graph.batch.tensors(), packed.tensors(), strict=True):
            values.copy_(latest, non_blocking=True)
        graph.weight.fill_(weight)
        graph.replay()
        self._gradients.filled = graph.filled
        return graph.loss

    def release(self) -> bool:
        """Drop all graphs with their memory, for good; returns whether there were any."""
        found = bool(self._graphs)
        self._graphs.clear()
        self._capture = None
        if found:
            torch.cuda.empty_cache()
        return found

    def _find(self, packed: Batch, masks: Masks) -> _Graph | None:
        """The graph for this shape, captured now if it came up once before; None if there is none yet."""
        if self._capture is None or not isinstance(packed.form, UnpaddedRows):
            return None
        # Whether a gradient is copied or added depends on the slots that an earlier part of the step has filled.
        shapes = tuple(tuple(values.shape) for values in packed.tensors())
        key = (shapes, packed.form.longest, self._gradients.filled)
        if key in self._seen and key not in self._graphs and len(self._graphs) < MOST:
            self._capture_graph(key, packed, masks)
        self._seen.add(key)
        return self._graphs.get(key)

    def _capture_graph(self, key: Hashable, packed: Batch, masks: Masks) -> None:
        assert self._capture is not None
        before = self._gradients.filled
        batch, weight = packed.to(self._device), self._on_device(1.0)
        try:
            replay, loss = self._capture(lambda: self._backward(batch, weight, masks))
            self._graphs[key] = _Graph(replay, batch, weight, loss, self._gradients.filled)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("warning: training goes on without CUDA graphs: %s", first_line(error))
            self.release()
        self._gradients.filled = before  # nothing has been computed yet

    def _on_device(self, weight: float) -> torch.Tensor:
        return torch.full((), weight, device=self._device)


def can_capture(device: torch.device) -> bool:
    """Whether the device has graphs."""
    return device.type == "cuda"


class Capture:
    """Captures functions in CUDA graphs that share one pool of memory."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        """What computes the function again and again, and its result, which is not computed yet."""
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            # Other threads pin memory and write checkpoints meanwhile.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                result = function()
            except BaseException:
                with suppress(
                    RuntimeError
                ):  # the capture was not ended as it should be, of which the other error tells
                    graph.capture_end()
                raise
            graph.capture_end()
        torch.cuda.current_stream().wait_stream(self._stream)
        return graph.replay, result
