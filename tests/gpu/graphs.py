"""What the engine promises of steps that are replayed from CUDA graphs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from unittest.mock import patch

from stages.training import graphs
from tests.gpu.workload import Target, settings_for, split_for, start
from tests.training.replaying import graphs_on_a_cpu


def replayed_steps(target: Target) -> None:
    """Steps replayed from graphs have the losses and weights, to the bit, of steps without: bf16, with dropout.

    Batches come whole and in parts. A CPU has neither graphs nor the path without padding, and rehearses both.
    """
    dropout = 0.1 if target.is_cuda else 0.0
    for shape in target.shapes[: 1 if target.small else None]:
        split = split_for(target, shape, tokens=120_000)
        for micro_batch_tokens in (0, settings_for(target, batch_tokens=1500).batch_tokens):
            settings = settings_for(target, batch_tokens=4096, micro_batch_tokens=micro_batch_tokens)
            results = []
            for replays in (True, False):
                with rehearsal(target), count_graphs(replays=replays) as captured:
                    run = start(split, shape, settings, target.compute("bf16"), dropout=dropout)
                    results.append(([step.loss for step in run.finish()], run.digest()))
                assert bool(captured) == replays
                if replays:
                    found = {"steps": len(results[0][0]), "graphs": len(captured)}
                    target.record(**{f"{shape.name}, parts of {micro_batch_tokens}": found})
            assert results[0][0] == results[1][0], "the losses differ"
            assert results[0][1] == results[1][1], "the weights differ"


@contextmanager
def count_graphs(*, replays: bool) -> Iterator[list[object]]:
    """While active, the keys of the graphs that training captures are collected; without `replays` it captures none."""
    captured: list[object] = []
    capture = graphs.Graphs._capture_graph

    def note(self: graphs.Graphs, key: object, *arguments: object) -> None:
        captured.append(key)
        capture(self, key, *arguments)  # type: ignore[arg-type]
        assert self._capture is not None, "the capture failed"

    with patch.object(graphs.Graphs, "_capture_graph", note), patch.object(graphs, "MOST", graphs.MOST * replays):
        yield captured


def rehearsal(target: Target) -> AbstractContextManager[object]:
    """On a CPU, what stands in for graphs."""
    return nullcontext() if target.is_cuda else graphs_on_a_cpu()
