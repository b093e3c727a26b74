"""The thread that packs the batches of the next steps."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.modeling.batches import Batch, Rows, collate, shuffled_rows, split_rows, token_indices
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits, pack
from stages.tasks.token_classification.model.head import TagHead
from stages.training import loop, prefetch
from stages.training.distributed import World
from stages.training.loop import PendingStep, train
from stages.training.optimizer import MasterWeights
from stages.training.prefetch import AHEAD, PackedStep, PackedSteps, packs_ahead
from tests.modeling.conftest import COMPUTE, random_model, random_split
from tests.training.test_memory import DROPOUT, SETTINGS
from tests.training.weights import make_weights

SECONDS = 30  # until something that does not happen is given up

Pack = Callable[[EncodedSplit, Rows, slice], Batch]


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split(np.random.default_rng(0).integers(4, 15, 60).tolist())


@pytest.fixture(scope="module")
def plan(split: EncodedSplit) -> list[Rows]:
    plan = shuffled_rows(split.lengths, budget=SETTINGS.batch_tokens, seed=1, epoch=1)
    assert len(plan) >= 5
    return plan


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()  # a generator that was not exhausted
    assert packing_threads() == []


def packing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pack")]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def packed(
    split: EncodedSplit,
    plan: list[Rows],
    make: Pack | None = None,
    *,
    rank: int = 0,
    size: int = 1,
    micro_batch_tokens: int = 1000,
    in_thread: bool = True,
) -> PackedSteps:
    make = make or collate
    world = World(rank, size)
    return PackedSteps(
        plan, split, make, seed=0, world=world, micro_batch_tokens=micro_batch_tokens, in_thread=in_thread
    )


def same(left: Batch, right: Batch) -> bool:
    pairs = [(value, vars(right)[name]) for name, value in vars(left).items()]
    return all(
        torch.equal(one, other) if isinstance(one, torch.Tensor) else np.array_equal(one, other) for one, other in pairs
    )


def assert_parts(step: PackedStep, split: EncodedSplit, rows: Rows, limit: int) -> None:
    """The parts are those of the whole batch, one after another, each within the limit or of one row."""
    assert step.weight == split.weight(rows, token_indices(split, rows)[1])
    start = 0
    for part in step.parts:
        stop = start + len(part.rows)
        assert part.tokens <= limit or len(part.rows) == 1
        assert same(part, collate(split, rows, slice(start, stop)))
        start = stop
    assert start == len(rows)


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("limit", [1000, 50, 1])
def test_the_same_batches_come_in_the_same_order(
    split: EncodedSplit, plan: list[Rows], first: int, limit: int, *, in_thread: bool
) -> None:
    with packed(split, plan, micro_batch_tokens=limit, in_thread=in_thread) as steps:
        for index in range(first, len(plan)):
            assert_parts(steps.get(index), split, plan[index], limit)


def test_processes_get_their_shards(split: EncodedSplit, plan: list[Rows]) -> None:
    for rows in plan[:3]:
        shards = split_rows(rows, split.lengths, count=2)
        for rank, shard in enumerate(shards):
            with packed(split, [rows], rank=rank, size=2) as steps:
                (part,) = steps.get(0).parts
                assert same(part, collate(split, rows, shard))
                assert steps.longest_row(0) == split.lengths[rows[shard]].max()


def test_a_process_without_rows_has_no_parts(split: EncodedSplit, plan: list[Rows]) -> None:
    with packed(split, plan, rank=len(plan[0]), size=len(plan[0]) + 1) as steps:
        step = steps.get(0)
        assert step.parts == []
        assert step.weight == split.weight(plan[0], token_indices(split, plan[0])[1])
        assert steps.longest_row(0) == 0


def test_at_most_two_steps_are_packed_ahead(split: EncodedSplit, plan: list[Rows]) -> None:
    begun: list[Rows] = []

    def record(_: EncodedSplit, rows: Rows, part: slice) -> Batch:
        begun.append(rows)
        return collate(split, rows, part)

    with packed(split, plan, record) as steps:
        assert begun == []
        for index in range(2):
            steps.get(index)
            wait_until(lambda index=index: len(begun) == index + 1 + AHEAD)
            time.sleep(0.02)
            assert len(begun) == index + 1 + AHEAD == index + 3


def test_repacking_starts_again_from_the_current_step(split: EncodedSplit, plan: list[Rows]) -> None:
    with packed(split, plan) as steps:
        steps.get(0)
        assert len(steps.get(1).parts) == 1
        steps.repack(40)
        for index in range(1, len(plan)):
            step = steps.get(index)
            assert len(step.parts) > 1
            assert_parts(step, split, plan[index], 40)


def test_an_error_is_raised_at_the_step_it_belongs_to(split: EncodedSplit, plan: list[Rows]) -> None:
    def fail_at_two(_: EncodedSplit, rows: Rows, part: slice) -> Batch:
        if rows is plan[2]:
            raise KeyError("packing")
        return collate(split, rows, part)

    with packed(split, plan, fail_at_two) as steps:
        for index in range(2):
            assert_parts(steps.get(index), split, plan[index], 1000)
        wait_until(steps._queue[2].done)
        with pytest.raises(KeyError, match="packing"):
            steps.get(2)
        assert_parts(steps.get(3), split, plan[3], 1000)


def test_leaving_ends_the_thread_after_the_step_that_it_packs(split: EncodedSplit, plan: list[Rows]) -> None:
    begun, release = [], threading.Event()

    def slow(_: EncodedSplit, rows: Rows, part: slice) -> Batch:
        begun.append(rows)
        if len(begun) > 1:
            assert release.wait(SECONDS)
        return collate(split, rows, part)

    with packed(split, plan, slow) as steps:
        steps.get(0)
        wait_until(lambda: len(begun) == 2)
        threading.Timer(0.05, release.set).start()
    assert packing_threads() == []
    assert len(begun) == 2


def start(split: EncodedSplit, *, micro_batch_tokens: int = 0) -> tuple[MasterWeights, Any]:
    model = random_model(**DROPOUT)
    weights = make_weights(model, split, COMPUTE["fp32"])
    settings = replace(SETTINGS, micro_batch_tokens=micro_batch_tokens)
    return weights, train(model, weights, split, settings, COMPUTE["fp32"], head=TagHead(0.0))


def memory_for(limit: int) -> Callable[..., torch.Tensor]:
    def logits(model: PreTrainedModel, batch: Batch, masks: Masks) -> torch.Tensor:
        if batch.tokens > limit:
            raise MemoryError
        return label_logits(model, batch, masks)

    return logits


@pytest.mark.parametrize("memory", [1000, 50], ids=["enough", "short"])
def test_training_gives_the_same_bits_as_without_the_thread(
    split: EncodedSplit, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    monkeypatch.setattr(loop, "label_logits", memory_for(memory))
    results = []
    for in_thread in (True, False):
        monkeypatch.setattr(loop, "packs_ahead", lambda _, in_thread=in_thread: in_thread)
        weights, pending = start(split)
        results.append(([step.read() for step in pending], weights.snapshot()))
    (steps, masters), (inline_steps, inline_masters) = results
    assert steps == inline_steps
    assert all(torch.equal(one, other) for one, other in zip(masters, inline_masters, strict=True))


@pytest.fixture
def _ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack ahead, as for a GPU."""
    assert not packs_ahead(torch.device("cpu"))
    assert packs_ahead(torch.device("cuda"))
    monkeypatch.setattr(loop, "packs_ahead", lambda _: True)


@pytest.mark.usefixtures("_ahead")
def test_the_thread_that_trains_packs_nothing(split: EncodedSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    def record(function: Callable[..., Any]) -> Callable[..., Any]:
        def recording(*arguments: Any) -> Any:
            threads.add((function.__name__, threading.current_thread().name))
            return function(*arguments)

        return recording

    monkeypatch.setattr(loop, "pack", record(pack))
    monkeypatch.setattr(prefetch, "token_indices", record(token_indices))
    assert len(list(start(split)[1])) > 5
    assert threads == {("pack", "pack_0"), ("token_indices", "pack_0")}


@pytest.mark.usefixtures("_ahead")
@pytest.mark.parametrize("way", ["end", "close", "break", "error", "drop"])
def test_no_thread_and_no_hook_outlives_training(
    split: EncodedSplit, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    weights, pending = start(split)
    next(pending)
    assert len(packing_threads()) == 1
    if way == "end":
        assert len(list(pending)) > 5
    elif way == "close":
        pending.close()
    elif way == "break":
        first_of(pending)
    elif way == "error":
        monkeypatch.setattr(loop, "label_logits", memory_for(0))
        with pytest.raises(Exception, match="memory does not suffice"):
            next(pending)
    del pending
    assert packing_threads() == []
    assert not any(slot.parameter._post_accumulate_grad_hooks for slot in weights.slots)


def first_of(pending: Iterator[PendingStep]) -> None:
    for _ in pending:
        break
