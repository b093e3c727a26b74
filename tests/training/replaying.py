"""CUDA graphs and flash attention on a CPU: what a graph recorded is computed again, on the memory that it recorded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from stages.modeling import encoder
from stages.training import graphs
from tests.modeling.flash import flash_attention

CAPTURE_GRAPH = graphs.Graphs._capture_graph


class Replays:
    """In place of `stages.training.graphs.Capture`: counts the functions that were captured and their replays."""

    captured = replayed = 0

    def __call__(self, function: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        """What computes the function again, and its result."""
        result = function()
        self.captured += 1

        def replay() -> None:
            self.replayed += 1
            result.copy_(function())

        return replay, result


def capture_graph(self: graphs.Graphs, *arguments: Any) -> None:
    """Capture, and restore the gradients: a GPU computes nothing while it captures."""
    before = [values.clone() for values in self._gradients.flat]
    CAPTURE_GRAPH(self, *arguments)
    for values, value in zip(self._gradients.flat, before, strict=True):
        values.copy_(value)


@contextmanager
def graphs_on_a_cpu() -> Iterator[Replays]:
    """While active, training on a CPU takes the path of a GPU with graphs: without dropout, for CPUs draw otherwise."""
    replays = Replays()
    with ExitStack() as patches:
        for place, name, value in (
            (graphs, "can_capture", lambda _: True),
            (graphs, "Capture", lambda: replays),
            (graphs.Graphs, "_capture_graph", capture_graph),
            (encoder, "has_flash_attention", lambda *_: True),
            (torch.ops.aten, "_flash_attention_forward", flash_attention),
        ):
            patches.enter_context(patch.object(place, name, value))
        yield replays
