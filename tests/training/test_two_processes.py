"""Two processes that train together, with real reductions between them."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import distributed
from transformers import AutoModelForMaskedLM, PreTrainedModel

from stages.adaptation.adapt import adapt_model
from stages.continual.retain import RetainingHead, TaughtSplit
from stages.dynamics.recorder import Recorder
from stages.encoding.files import EncodedSplit
from stages.encoding.texts import NO_SECOND, text_schema, texts_of
from stages.modeling.batches import Batch
from stages.modeling.classifier import add_crf
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits
from stages.modeling.head import Head, JudgingHead, Split
from stages.modeling.heads.crf import Potentials
from stages.modeling.inference import count_outputs, keep_frozen_states
from stages.tasks.language_modeling.model.head import MaskedWordsHead
from stages.tasks.language_modeling.model.masks import BEGIN, SPECIAL, Masking
from stages.tasks.language_modeling.model.split import TrainingTexts, mask_in_training
from stages.tasks.token_classification.model.chains import ChainedSplit
from stages.tasks.token_classification.model.head import CrfHead, TagHead
from stages.training import gradients, loop
from stages.training.distributed import World
from stages.training.history import Step
from stages.training.loop import Settings, plan_batches, train
from tests.modeling.conftest import COMPUTE, VOCABULARY, random_model, random_split
from tests.training.test_adaptation import ADAPTATIONS
from tests.training.test_memory import DROPOUT, SETTINGS
from tests.training.weights import make_weights

SECONDS = 60  # until processes that wait for each other are given up
MICRO = replace(SETTINGS, epochs=1, micro_batch_tokens=30)

EVERYTHING = Potentials(torch.zeros(9), torch.zeros(9, 9), torch.zeros(9))  # labels of `random_split` have any order

# Steps, masters, reductions, and the confidence in each answer.
Outcome = tuple[list[Step], list[np.ndarray[Any, Any]], int, np.ndarray[Any, Any]]

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a process that has used a GPU cannot fork")


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split(np.random.default_rng(0).integers(4, 15, 60).tolist())


class CountingWorld(World):
    """Counts the reductions that it starts."""

    started = 0

    def start_all_reduce(self, tensor: torch.Tensor) -> distributed.Work:
        """As that of the World."""
        CountingWorld.started += 1
        return super().start_all_reduce(tensor)


def run(world: World, split: Split, settings: Settings, prepare: Callable[[Any], None], adapt: str = "full") -> Outcome:
    model = random_model(**DROPOUT)
    torch.manual_seed(1)
    head: Head = TagHead(0.0)
    if isinstance(split, TrainingTexts):
        model, head = AutoModelForMaskedLM.from_config(model.config, attn_implementation="eager"), MaskedWordsHead(0.0)
    adapt_model(model, adapt, **ADAPTATIONS[adapt])
    if isinstance(split, ChainedSplit):
        head = CrfHead(add_crf(model), EVERYTHING)
    if isinstance(split, TaughtSplit):
        head = RetainingHead(head, 2.0, torch.arange(0, 9, 2))
    weights = make_weights(model, split, COMPUTE["fp32"])
    keep_frozen_states(model, split, COMPUTE["fp32"], batch_tokens=100)
    prepare(model)
    plan, device = plan_batches(split, settings), COMPUTE["fp32"].device
    judges = isinstance(head, JudgingHead)
    recorder = Recorder(head, split, plan, old_rows=settings.old_rows, device=device) if judges else None
    steps = []
    for queued in train(model, weights, split, settings, COMPUTE["fp32"], head=head, world=world, recorder=recorder):
        steps.append(queued.read())
        if queued.ends_epoch and recorder:
            recorder.end_epoch(queued.epoch)
    masters = [master.numpy() for master in weights.snapshot()]
    return (
        steps,
        masters,
        CountingWorld.started,
        recorder.result().confidence_O if recorder else np.zeros(0, np.float32),
    )


def one_of_two(
    rank: int, meeting: Path, results: "SimpleQueue[tuple[int, Outcome]]", arguments: tuple[Any, ...]
) -> None:
    split, settings, prepare, adapt = arguments
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=timedelta(seconds=SECONDS)
    )
    results.put((rank, run(CountingWorld(rank, 2), split, settings, prepare[rank], adapt)))
    distributed.destroy_process_group()


def nothing(_: Any) -> None:
    """Prepare nothing."""


def run_two(
    split: Split,
    meeting: Path,
    settings: Settings = MICRO,
    *,
    second: Callable[[Any], None] = nothing,
    adapt: str = "full",
) -> list[Outcome]:
    """Train in two processes; `second` prepares the model of the second one."""
    context = multiprocessing.get_context("fork")
    results: SimpleQueue[tuple[int, Outcome]] = context.SimpleQueue()
    arguments = (split, settings, (nothing, second), adapt)
    processes = [context.Process(target=one_of_two, args=(rank, meeting, results, arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    found = dict(results.get() for _ in range(2) if poll(results, processes))
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    return [found[0], found[1]]


def poll(results: Any, processes: list[Any]) -> bool:
    """Wait for a result; end the processes if there is none."""
    if results._reader.poll(SECONDS):
        return True
    for process in processes:
        process.kill()
    pytest.fail("the processes wait for each other")


def same_masters(left: Outcome, right: Outcome) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(left[1], right[1], strict=True))


def mask(split: EncodedSplit) -> TrainingTexts:
    """The same rows as windows in which each token is a word, but for the first and the last."""
    rows = [split.input_ids[start:end] for start, end in pairwise(split.offsets)]
    columns = {
        "input_ids": rows,
        "second": [NO_SECOND] * len(rows),
        "example": range(len(rows)),
        "window": [0] * len(rows),
        "weight": [1.0] * len(rows),
        "text": [""] * len(rows),
        "pair": [None] * len(rows),
        "labels": [[SPECIAL, *[BEGIN] * (len(row) - 2), SPECIAL] for row in rows],
    }
    return mask_in_training(texts_of(pa.table(columns, text_schema("labels"))), Masking(0.3, 1, VOCABULARY))


SPLITS: dict[str, Callable[[EncodedSplit], Split]] = {
    "tags": lambda split: split, "crf": ChainedSplit.of, "masked words": mask
}  # fmt: skip


@pytest.mark.parametrize("kind", SPLITS)
def test_two_processes_take_the_steps_of_one_and_stay_alike(
    split: EncodedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    own = SPLITS[kind](split)
    alone = run(World(0, 1), own, MICRO, nothing)
    whole = run_two(own, tmp_path / "whole")
    monkeypatch.setattr(gradients, "BUCKET_BYTES", 1)
    pieces = run_two(own, tmp_path / "pieces")
    for outcome in (whole, pieces):
        assert outcome[0][0] == outcome[1][0]
        assert same_masters(*outcome)
        assert [step.loss for step in outcome[0][0]] == pytest.approx([step.loss for step in alone[0]], abs=1e-4)
        assert np.array_equal(outcome[0][3], outcome[1][3])
        np.testing.assert_allclose(outcome[0][3], alone[3], atol=1e-4)
    assert same_masters(whole[0], pieces[0])  # of two values the sum does not depend on the buckets
    assert pieces[0][2] > 10 * whole[0][2] > 0


@pytest.mark.parametrize("adapt", ["lora", "freeze", "head"])
def test_two_processes_take_the_steps_of_one_where_weights_are_frozen(
    split: EncodedSplit, tmp_path: Path, adapt: str
) -> None:
    alone = run(World(0, 1), split, MICRO, nothing, adapt)
    first, second = run_two(split, tmp_path / "meeting", adapt=adapt)
    assert first[0] == second[0]
    assert same_masters(first, second)
    assert [step.loss for step in first[0]] == pytest.approx([step.loss for step in alone[0]], abs=1e-4)


def test_two_processes_take_the_steps_of_one_with_old_examples_near_a_parent(
    split: EncodedSplit, tmp_path: Path
) -> None:
    first = np.append(0, np.cumsum(count_outputs(split)))
    parent = np.random.default_rng(1).normal(size=(int(first[-1]), 5)).astype(np.float32)
    taught: Any = TaughtSplit(split, first, parent)
    settings = replace(MICRO, epochs=2, old_rows=30, old_share=0.3)
    alone = run(World(0, 1), taught, settings, nothing)
    one, other = run_two(taught, tmp_path / "meeting", settings)
    assert one[0] == other[0]
    assert same_masters(one, other)
    assert [step.loss for step in one[0]] == pytest.approx([step.loss for step in alone[0]], abs=1e-4)
    without = run(World(0, 1), split, settings, nothing)
    assert [step.tokens for step in without[0]] == [step.tokens for step in alone[0]]
    assert [step.loss for step in without[0]] != pytest.approx([step.loss for step in alone[0]], abs=1e-4)


def run_out_of_memory(model: Any) -> None:
    """Let the last backward of step 2 fail, when the buckets of the last layer have been sent."""
    failures = iter([True])
    last = {"is": False}
    parameter = model.bert.encoder.layer[0].output.dense.weight

    def watching(model: PreTrainedModel, batch: Batch, masks: Masks) -> torch.Tensor:
        last["is"] = masks.step == 1 and parameter.step_parts[-1] == batch.tokens_before
        return label_logits(model, batch, masks)

    def fail(_: torch.Tensor) -> None:
        if last["is"] and next(failures, False):
            assert CountingWorld.started % len(dict(model.named_parameters())) > 0
            raise MemoryError

    parameter.register_hook(fail)
    loop.label_logits = watching
    make_step = cast(Any, loop.PackedSteps)._pack_step

    def remember(self: Any, index: int, micro_batch_tokens: int) -> Any:
        packed = make_step(self, index, micro_batch_tokens)
        if index == 1:
            parameter.step_parts = [part.tokens_before for part in packed.parts]
        return packed

    loop.PackedSteps._pack_step = remember  # type: ignore[method-assign]  # in a process of its own


def test_a_process_that_runs_out_of_memory_does_not_hold_up_the_other(
    split: EncodedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "BUCKET_BYTES", 1)
    undisturbed = run_two(split, tmp_path / "undisturbed")
    first, second = run_two(split, tmp_path / "meeting", second=run_out_of_memory)
    assert first[0] == second[0]
    assert same_masters(first, second)
    assert first[2] == second[2] == undisturbed[0][2]
    assert [step.loss for step in first[0]] == pytest.approx([step.loss for step in undisturbed[0][0]], abs=1e-4)
    assert not same_masters(first, undisturbed[0])  # summed in smaller parts


def test_a_process_with_an_empty_shard_takes_part(tmp_path: Path) -> None:
    split = random_split([9, 6])
    settings = replace(MICRO, batch_tokens=6, micro_batch_tokens=0)  # a row each
    first, second = run_two(split, tmp_path / "meeting", settings)
    assert len(first[0]) == 2
    assert first[0] == second[0]
    assert same_masters(first, second)
    alone = run(World(0, 1), split, settings, nothing)
    assert [step.loss for step in first[0]] == [step.loss for step in alone[0]]
    assert same_masters(first, alone)
