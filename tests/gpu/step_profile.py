"""Where the time of a step goes, and what capturing or compiling it would bring: figures alone."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedModel

from stages.errors import first_line
from stages.modeling.batches import Batch, shuffled_rows
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits, pack
from stages.training.loop import PendingStep
from stages.training.optimizer import MasterWeights
from tests.gpu.workload import SETTINGS, Target, make_model, masters_of, settings_for, split_for, start

STEPS = 8
SHOWN = 15
LEAST = 10.0  # seconds for a case
CASES = ((0, "short", 16_384), (1, "short", 4096), (0, "512", 16_384), (1, "512", 16_384))  # shape, profile, batch


def where_time_goes(target: Target) -> None:
    """The 15 kernels that take the most time of eight steps, and the share of a step in which the device is idle.

    The idle share compares the device's busy time with steps that no profiler slows down. On a CPU the kernels are
    torch's operators.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if target.is_cuda else [])]
    for number, lengths, budget in CASES[: 1 if target.small else None]:
        if target.left < LEAST:
            target.record(not_measured=f"from {lengths} {budget} on: no time left")
            return
        shape = target.shapes[number]
        split = split_for(target, shape, profile=lengths, tokens=20 * STEPS * budget // 4)
        run = start(split, shape, settings_for(target, batch_tokens=budget, epochs=4), target.compute("bf16"))
        take_steps(target, run.pending)
        seconds = min(take_steps(target, run.pending) for _ in range(2)) / STEPS
        with profile(activities=activities, acc_events=True) as recorded:
            take_steps(target, run.pending)
        spans = device_spans(target, recorded.events() or [])
        busy = covered_seconds(spans) / STEPS
        totals: Counter[str] = Counter()
        for name, begin, end in spans:
            totals[name] += end - begin
        kernels = {name[:120]: microseconds / 1e6 / STEPS / busy for name, microseconds in totals.most_common(SHOWN)}
        found = {
            "seconds_per_step": seconds,
            "busy_seconds_per_step": busy,
            "idle_share": max(0.0, 1 - busy / seconds) if target.is_cuda else None,
            "kernels_per_step": len(spans) / STEPS,
            "shares_of_busy_time": kernels,
        }
        target.record(**{f"{shape.name} {lengths} {budget}": found})


def take_steps(target: Target, pending: Iterable[PendingStep]) -> float:
    """Seconds that eight steps take, each read a step late."""
    target.synchronize()
    started = time.perf_counter()
    queued: list[PendingStep] = []
    for step in pending:
        queued.append(step)
        if len(queued) > 1:
            queued[-2].read()
        if len(queued) == STEPS:
            break
    queued[-1].read()
    target.synchronize()
    return time.perf_counter() - started


def device_spans(target: Target, events: Iterable[Any]) -> list[tuple[str, float, float]]:
    """Name, begin and end in microseconds of all that the device did."""
    device = DeviceType.CUDA if target.is_cuda else DeviceType.CPU
    return [
        (event.name, event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == device and not event.is_user_annotation and (target.is_cuda or not event.cpu_children)
    ]


def covered_seconds(spans: list[tuple[str, float, float]]) -> float:
    """Seconds in which at least one of the spans was under way."""
    covered, last = 0.0, float("-inf")
    for _, begin, end in sorted(spans, key=lambda span: span[1]):
        covered += max(0.0, end - max(begin, last))
        last = max(last, end)
    return covered / 1e6


def step_in_a_graph(target: Target) -> None:
    """Seconds of a step on one batch again and again: as it is, and with its first half replayed from a CUDA graph.

    A graph belongs to a shape, so the part also counts the shapes of an epoch. On a CPU both run eagerly.
    """
    compare(target, {"eager": as_it_is, "graph": captured})


def step_compiled(target: Target) -> None:
    """Seconds of a step on one batch again and again: as it is, and with forward and loss compiled for its shape.

    On a CPU both run eagerly.
    """
    compare(target, {"eager": as_it_is, "compiled": compiled})


def compare(target: Target, variants: dict[str, "Variant"]) -> None:
    """Record the seconds of a step in each variant, or why it is not possible, for both encoders."""
    compute = target.compute("bf16")
    for number, lengths, budget in CASES[: 1 if target.small else None]:
        if target.left < LEAST:
            target.record(not_measured=f"from {lengths} {budget} on: no time left")
            return
        shape = target.shapes[number]
        split = split_for(target, shape, profile=lengths, tokens=20 * budget)
        settings = settings_for(target, batch_tokens=budget)
        model = make_model(shape)
        weights = masters_of(model, split, compute)
        batches = shuffled_rows(split.lengths, budget=settings.batch_tokens, seed=settings.seed, epoch=1)
        packed = [pack(model, split, rows, slice(None), compute) for rows in batches]
        batch = packed[0].to(compute.device)
        shapes = {tuple(shape_of(each)) for each in packed}
        found: dict[str, Any] = {"batches": len(batches), "shapes": len(shapes), "tokens": batch.tokens}
        for name, make in variants.items():
            try:
                with weights.gradients.collect():
                    found[name] = time_variant(target, make(target, model, weights, batch), weights)
            except Exception as error:  # a variant that is impossible is a finding
                found[name] = f"not possible: {type(error).__name__}: {first_line(error)}"
            target.record(**{f"{shape.name} {lengths} {budget}": found})


Half = Callable[[], torch.Tensor]  # forward, loss and backward, which collects the gradients; returns the loss
Variant = Callable[[Target, PreTrainedModel, MasterWeights, Batch], Half]


def time_variant(target: Target, half_step: Half, weights: MasterWeights) -> float:
    """Seconds of a whole step."""
    repetitions = 2 if target.small else 20
    for measured in (False, True):
        target.synchronize()
        started = time.perf_counter()
        for _ in range(repetitions if measured else 3):
            loss = half_step()
            weights.step(loss, learning_rate=1e-5, max_gradient_norm=1.0)
        target.synchronize()
    return (time.perf_counter() - started) / repetitions


def as_it_is(target: Target, model: PreTrainedModel, weights: MasterWeights, batch: Batch) -> Half:
    """The first half of a step as the loop takes it."""
    return _half_step(_loss, model, weights, batch)


def compiled(target: Target, model: PreTrainedModel, weights: MasterWeights, batch: Batch) -> Half:
    """The same with forward and loss compiled for this one shape."""
    loss = torch.compile(_loss, dynamic=False) if target.is_cuda else _loss
    return _half_step(loss, model, weights, batch)


def captured(target: Target, model: PreTrainedModel, weights: MasterWeights, batch: Batch) -> Half:
    """The same captured once in a CUDA graph and replayed."""
    half_step = _half_step(_loss, model, weights, batch)
    if not target.is_cuda:
        return half_step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            half_step()
            weights.gradients.clear()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = half_step()
    filled = set(weights.gradients._collected.filled)

    def replay() -> torch.Tensor:
        graph.replay()
        weights.gradients._collected.filled |= filled  # noted by hooks, which ran at the capture alone
        return loss

    return replay


def _half_step(
    loss_of: Callable[[PreTrainedModel, Batch], torch.Tensor],
    model: PreTrainedModel,
    weights: MasterWeights,
    batch: Batch,
) -> Half:
    def half_step() -> torch.Tensor:
        loss = loss_of(model, batch)
        weights.gradients.begin_backward(is_last=True)
        loss.backward()
        return loss.detach()

    return half_step


class _Unseeded(Masks):
    """Masks of generators that go on: a graph that is being captured may not seed them."""

    def seed_generators(self, before: int) -> None:
        pass


def _loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    logits_LC = label_logits(model, batch, _Unseeded(SETTINGS.seed, 0)).float()
    return functional.cross_entropy(logits_LC, batch.answers[0])


def shape_of(value: Any) -> Iterator[Any]:
    """The shapes of all tensors of a batch and the longest row that kernels are given: a graph is captured for each."""
    if isinstance(value, torch.Tensor):
        yield tuple(value.shape)
    elif is_dataclass(value):
        yield getattr(value, "longest", None)
        for field in fields(value):
            yield from shape_of(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for inner in value:
            if not is_dataclass(inner) or any(shape is not None for shape in shape_of(inner)):
                yield from shape_of(inner)
