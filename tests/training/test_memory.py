"""Training that computes smaller parts of a batch at once: by its settings, or because memory is short."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.errors import TrainingError
from stages.modeling.batches import Batch
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits
from stages.tasks.token_classification.model.head import TagHead
from stages.training import loop
from stages.training.history import Step
from stages.training.loop import Settings, train
from stages.training.optimizer import MasterWeights
from tests.modeling.conftest import COMPUTE, random_model, random_split
from tests.training.weights import make_weights

SETTINGS = Settings(
    seed=1,
    epochs=2,
    min_steps=0,
    learning_rate=0.001,
    schedule="linear",
    warmup_ratio=0.1,
    max_gradient_norm=1.0,
    batch_tokens=120,
    micro_batch_tokens=0,
)
DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.1}
OUT_OF_MEMORY = {
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "Python": MemoryError(),
    "CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)"
    ),
}

Logits = Callable[[PreTrainedModel, Batch, Masks], torch.Tensor]


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split(np.random.default_rng(0).integers(4, 15, 60).tolist())


def run(split: EncodedSplit, settings: Settings = SETTINGS) -> tuple[list[Step], MasterWeights]:
    model = random_model(**DROPOUT)
    weights = make_weights(model, split, COMPUTE["fp32"])
    return [step.read() for step in train(model, weights, split, settings, COMPUTE["fp32"], head=TagHead(0.0))], weights


def losses(steps: list[Step]) -> list[float]:
    return [step.loss for step in steps]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the computed parts, in tokens."""
    seen: list[int] = []

    def recording(model: PreTrainedModel, batch: Batch, masks: Masks) -> torch.Tensor:
        seen.append(batch.tokens)
        return label_logits(model, batch, masks)

    monkeypatch.setattr(loop, "label_logits", recording)
    return seen


def short_of_memory(limit: int, error: Exception, failures: list[int]) -> Logits:
    """Memory for `limit` tokens."""

    def logits(model: PreTrainedModel, batch: Batch, masks: Masks) -> torch.Tensor:
        if batch.tokens > limit:
            failures.append(batch.tokens)
            raise error
        return label_logits(model, batch, masks)

    return logits


@pytest.mark.parametrize("micro_batch_tokens", [50, 16])
def test_micro_batches_change_nothing_but_rounding(
    split: EncodedSplit, sizes: list[int], micro_batch_tokens: int
) -> None:
    whole, _ = run(split)
    assert sizes == [step.tokens for step in whole]
    sizes.clear()
    steps, _ = run(split, replace(SETTINGS, micro_batch_tokens=micro_batch_tokens))
    assert losses(steps) == pytest.approx(losses(whole), abs=1e-4)
    assert sum(sizes) == sum(step.tokens for step in steps)
    assert max(sizes) < micro_batch_tokens + split.lengths.max()
    assert [replace(step, loss=0, gradient_norm=0) for step in steps] == [
        replace(step, loss=0, gradient_norm=0) for step in whole
    ]


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_train_computes_less_at_once_where_memory_is_short(
    split: EncodedSplit, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = run(split)
    failures: list[int] = []
    monkeypatch.setattr(loop, "label_logits", short_of_memory(50, error, failures))
    steps, _ = run(split)
    assert losses(steps) == pytest.approx(losses(whole), abs=1e-4)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings[0].startswith("warning: step 1: out of memory with ")
    # The size found in the first step is kept: the later steps do not try the whole batch again.
    assert 0 < len(failures) == len(warnings) <= 4


def test_train_repeats_a_step_after_a_part_that_did_not_fit(
    split: EncodedSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, micro_batch_tokens=40)
    whole, _ = run(split, settings)
    calls = 0

    def failing_late(model: PreTrainedModel, batch: Batch, masks: Masks) -> torch.Tensor:
        nonlocal calls
        calls += 1
        logits_LC = label_logits(model, batch, masks)
        if calls == 3:  # the gradients of two parts are accumulated by then
            raise MemoryError
        return logits_LC

    monkeypatch.setattr(loop, "label_logits", failing_late)
    assert losses(run(split, settings)[0]) == pytest.approx(losses(whole), abs=1e-4)


@pytest.mark.parametrize("micro_batch_tokens", [0, 20])
def test_train_ends_where_not_even_one_window_fits(
    split: EncodedSplit, micro_batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "label_logits", short_of_memory(3, MemoryError(), []))
    message = r"^step 1: memory does not suffice for a single window of 1\d tokens\. Choose a smaller tokenize\."
    with pytest.raises(TrainingError, match=message):
        run(split, replace(SETTINGS, micro_batch_tokens=micro_batch_tokens))


def test_train_continues_where_one_window_just_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    split = random_split([10, 6, 6, 6])
    whole, _ = run(split)
    monkeypatch.setattr(loop, "label_logits", short_of_memory(10, MemoryError(), []))
    assert losses(run(split)[0]) == pytest.approx(losses(whole), abs=1e-4)


def test_another_error_is_not_treated_as_a_lack_of_memory(split: EncodedSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (7x16 and 24x16)")
    monkeypatch.setattr(loop, "label_logits", short_of_memory(50, error, []))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(split)
