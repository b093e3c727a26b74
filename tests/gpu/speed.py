"""How fast it is: figures alone, which decide nothing about passing. What no time is left for is listed as such.

Speeds are real tokens a second, padding not counted, of whole steps in bf16 with dropout.
"""

import gc
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.tasks.token_classification.model.inference import predict
from stages.training.loop import train
from tests.benchmarks.measures import Rows, matrix_speed, operations_per_token
from tests.gpu.peers import EPOCHS, WARM_UP, Collator, peer_name, peer_speed
from tests.gpu.workload import LABELS, PROFILES, TAGS, Target, make_model, masters_of, settings_for, split_for

BUDGETS = (4096, 16_384, 65_536)  # tokens of a batch
TOKENS = 600_000  # of a split
MATRIX = 8192


def training(target: Target) -> None:
    """The engine and the tuned Trainer over batches of 4k to 64k tokens: tokens a second.

    With the share of the measured bf16 matrix rate that the engine's products reach, and its peak memory.
    """
    target.record(matrix_operations_per_second=rate_of(target), peer=peer_name())
    for profile, shape in product(PROFILES, target.shapes):
        split, model = split_for(target, shape, profile=profile, tokens=TOKENS), make_model(shape)
        peers = measure_peer(target, split, model, BUDGETS, compiled=False)
        ours = measure_our_training(target, split, model)
        record_comparison(target, f"{shape.name} {profile}", ours=ours, peer=peers)


def measure_our_training(target: Target, split: EncodedSplit, model: PreTrainedModel) -> dict[str, Any]:
    """Speed, share of the matrix rate and peak memory for each size of batches; the model moves to the device."""
    compute = target.compute("bf16")
    operations = 3 * operations_per_token(model.config, split, LABELS)
    weights = masters_of(model, split, compute)

    def measure(budget: int) -> dict[str, Any]:
        settings = settings_for(target, batch_tokens=budget, epochs=EPOCHS)
        if target.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        steps = train(model, weights, split, settings, compute, head=TAGS)
        queued = [next(steps) for _ in range(WARM_UP)]
        target.synchronize()
        started, tokens, count = time.perf_counter(), 0, 0
        for step in steps:
            queued.append(step)
            queued.pop(0).read()
            tokens, count = tokens + step.tokens, count + 1
            if time.perf_counter() - started > seconds_of(target):
                break
        target.synchronize()
        elapsed = time.perf_counter() - started
        steps.close()
        speed = tokens / elapsed
        return {
            "tokens_per_second": speed,
            "seconds_per_step": elapsed / count,
            "share_of_matrix_rate": speed * operations / target.figures.get("matrix_operations_per_second", np.nan),
            "peak_bytes": torch.cuda.max_memory_allocated() if target.is_cuda else None,
        }

    return measure_all(target, sizes_for(target, BUDGETS), measure)


def measure_peer(
    target: Target, split: EncodedSplit, model: PreTrainedModel, sizes: tuple[int, ...], *, compiled: bool
) -> dict[str, Any]:
    """The peer's speed for each number of tokens in a batch; compiled for a GPU alone, where that takes its time."""
    dataset, compiled = Rows(split), compiled and target.is_cuda
    seconds = seconds_of(target) * (4 if compiled else 1)

    def measure(budget: int) -> float | str:
        rows = rows_for(target, split, budget)
        speed = peer_speed(target, dataset, model, batch=rows, compiled=compiled, seconds=seconds)
        return "no step after the warm-up" if speed is None else speed

    return measure_all(target, sizes_for(target, sizes), measure, needed=40 if compiled else 5)


def peer_compiled(target: Target) -> None:
    """The tuned Trainer with torch.compile, over the profiles whose shapes it can profit from first."""
    target.record(peer=peer_name())
    for profile, shape in product(("512", "short", "256"), target.shapes):
        split, model = split_for(target, shape, profile=profile, tokens=TOKENS), make_model(shape)
        found = measure_peer(target, split, model, BUDGETS[1:2], compiled=True)
        target.record(**{f"{shape.name} {profile}": found})


def inference(target: Target) -> None:
    """Tokens a second of `predict` over batches of 16k and 64k tokens, and of Hugging Face's forward by length."""
    compute = target.compute("bf16")
    for profile, shape in product(PROFILES, target.shapes):
        split = split_for(target, shape, profile=profile, tokens=TOKENS // 2)
        model = make_model(shape).to(compute.device, compute.dtype)

        def ours(budget: int) -> float:
            return speed_of(target, split, lambda: predict(model, split, compute, batch_tokens=budget, temperature=1.0))  # noqa: B023

        def peer(budget: int) -> float:
            rows = rows_for(target, split, budget)  # noqa: B023
            return speed_of(target, split, lambda: padded_forward(target, model, split, rows))  # noqa: B023

        found = measure_all(target, sizes_for(target, BUDGETS[1:]), ours)
        model.set_attn_implementation("sdpa")
        record_comparison(
            target,
            f"{shape.name} {profile}",
            ours=found,
            peer=measure_all(target, sizes_for(target, BUDGETS[1:]), peer),
        )


@torch.inference_mode()
def padded_forward(target: Target, model: PreTrainedModel, split: EncodedSplit, batch: int) -> None:
    """The labels of all tokens by Hugging Face's forward, the longest rows first."""
    order = np.argsort(-split.lengths, kind="stable")
    collate = Collator()
    for first in range(0, len(order), batch):
        rows = [
            {"input_ids": split.input_ids[columns], "labels": split.labels[columns]}
            for columns in (slice(*split.offsets[row : row + 2]) for row in order[first : first + batch])
        ]
        tensors = {name: value.to(target.device) for name, value in collate(rows).items() if name != "labels"}
        model(**tensors).logits.float().softmax(-1).max(-1).indices.cpu()


def speed_of(target: Target, split: EncodedSplit, predict_all: Callable[[], object]) -> float:
    """Tokens a second of the second of two passes over the split."""
    predict_all()
    target.synchronize()
    started = time.perf_counter()
    predict_all()
    target.synchronize()
    return int(split.lengths.sum()) / (time.perf_counter() - started)


def measure_all(
    target: Target, sizes: tuple[int, ...], measure: Callable[[int], Any], *, needed: float = 5
) -> dict[str, Any]:
    """What `measure` gives for each size, or why it gave nothing; each needs about `needed` seconds."""
    found: dict[str, Any] = {}
    for size in sizes:
        if target.left < needed:
            found[str(size)] = "no time left"
            continue
        try:
            found[str(size)] = measure(size)
        except torch.OutOfMemoryError:
            found[str(size)] = "out of memory"
        gc.collect()  # a Trainer holds its model in a circle
        if target.is_cuda:
            torch.cuda.empty_cache()
    return found


def record_comparison(target: Target, name: str, *, ours: dict[str, Any], peer: dict[str, Any]) -> None:
    """Keep both, and how many times faster ours is: the best against the peer's best, and at the same size."""
    best_ours, best_peer = (max((speed_in(value) for value in found.values()), default=0.0) for found in (ours, peer))
    times = best_ours / best_peer if best_peer else None
    at_size = {size: speed_in(ours[size]) / peak for size, value in peer.items() if (peak := speed_in(value))}
    target.record(**{name: {"ours": ours, "peer": peer, "times_faster": times, "times_faster_at_size": at_size}})


def speed_in(found: Any) -> float:
    """The tokens a second in what was measured; 0 if nothing was."""
    if isinstance(found, dict):
        found = found["tokens_per_second"]
    return found if isinstance(found, float) else 0.0


def rate_of(target: Target) -> float:
    """Operations a second of a large product of matrices in bf16."""
    return matrix_speed(target.compute("bf16"), 64 if target.small else MATRIX)


def sizes_for(target: Target, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Of the sizes of batches, with --small the smallest alone."""
    return sizes[:1] if target.small else sizes


def rows_for(target: Target, split: EncodedSplit, budget: int) -> int:
    """The peer's number of rows with so many tokens; with --small so few that there are several batches."""
    return 4 if target.small else round(budget / split.lengths.mean())


def seconds_of(target: Target) -> float:
    """How long a measurement takes, after its warm-up."""
    return 0.05 if target.small else 1.0
