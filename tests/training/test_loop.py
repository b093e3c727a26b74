import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.errors import TrainingError
from stages.modeling.batches import Batch, shuffled_rows
from stages.modeling.classifier import load_classifier
from stages.modeling.device import set_deterministic
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits, pack
from stages.tasks.token_classification.model.head import TagHead
from stages.training import loop
from stages.training.history import Step
from stages.training.loop import PendingStep, Settings, plan_batches, train
from stages.training.optimizer import MasterWeights
from stages.training.schedule import lr_multiplier
from tests.modeling.conftest import COMPUTE, LABELS, random_split
from tests.training.waiting import NoWaiting
from tests.training.weights import make_weights

SETTINGS = Settings(
    seed=1,
    epochs=6,
    min_steps=0,
    learning_rate=0.005,
    schedule="linear",
    warmup_ratio=0.1,
    max_gradient_norm=1.0,
    batch_tokens=256,
    micro_batch_tokens=0,
)
SHORT = replace(SETTINGS, epochs=1, learning_rate=0.001)  # so short that rounding does not grow


@dataclass(frozen=True)
class Run:
    """A training run of the tiny model on the first sentences of the demo corpus."""

    model: PreTrainedModel
    weights: MasterWeights
    pending: Iterator[PendingStep]

    @property
    def steps(self) -> Iterator[Step]:
        return (step.read() for step in self.pending)

    @property
    def losses(self) -> list[float]:
        return [step.loss for step in self.steps]

    def masters(self) -> list[torch.Tensor]:
        return self.weights.snapshot()


@dataclass(frozen=True)
class Start:
    """Starts training runs that differ in the given arguments alone."""

    pretrained: Path
    split: EncodedSplit

    def __call__(
        self,
        settings: Settings = SETTINGS,
        *,
        precision: str = "fp32",
        dropout: float = 0.1,
        label_smoothing: float = 0.0,
        average_weights: bool = False,
        state: dict[str, torch.Tensor] | None = None,
        done: int = 0,
    ) -> Run:
        set_deterministic(seed=settings.seed, threads=1)
        model = load_classifier(self.pretrained, labels=LABELS, dropout=dropout)
        compute = COMPUTE[precision]
        weights = make_weights(model, self.split, compute, average_weights=average_weights)
        if state:
            weights.load(state)
        return Run(
            model,
            weights,
            train(model, weights, self.split, settings, compute, head=TagHead(label_smoothing), done=done),
        )


@pytest.fixture
def start(tiny_pretrained: Path, demo_split: EncodedSplit) -> Start:
    return Start(tiny_pretrained, demo_split)


def equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("precision", COMPUTE)
def test_train_lowers_the_loss_and_reports_each_step(start: Start, precision: str) -> None:
    steps = list(start(precision=precision).steps)
    assert [step.step for step in steps] == list(range(1, steps[0].steps + 1))
    assert [step.epoch for step in steps if step.ends_epoch] == [1, 2, 3, 4, 5, 6]
    assert [step.epoch for step in steps] == sorted(step.epoch for step in steps)
    losses = []
    for epoch in range(1, 7):
        own = [step for step in steps if step.epoch == epoch]
        losses.append(np.average([step.loss for step in own], weights=[step.weight for step in own]))
        assert sum(step.tokens for step in own) == start.split.lengths.sum()
        assert sum(step.weight for step in own) == start.split.word_counts.sum()
    for index, step in enumerate(steps):
        multiplier = lr_multiplier("linear", index=index, steps=len(steps), warmup_ratio=0.1)
        assert step.learning_rate == SETTINGS.learning_rate * multiplier
        assert step.gradient_norm > 0
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("precision", COMPUTE)
def test_train_gives_the_same_weights_to_the_bit_for_the_same_seed(start: Start, precision: str) -> None:
    settings = replace(SETTINGS, epochs=2)
    first, again = (start(settings, precision=precision) for _ in range(2))
    assert list(first.steps) == list(again.steps)
    assert equal(first.masters(), again.masters())
    other = start(replace(settings, seed=2), precision=precision)
    assert list(other.steps)
    assert not equal(first.masters(), other.masters())


def test_dropout_and_batches_depend_on_the_seed_alone(start: Start) -> None:
    first, again = start(SHORT), start(SHORT)
    steps = [next(first.steps)]
    torch.manual_seed(99)  # what a caller may draw between two steps
    np.random.seed(99)
    assert [*steps, *first.steps] == list(again.steps)


@pytest.mark.parametrize(("min_steps", "epochs"), [(0, 2), (4, 2), (5, 3), (7, 4)])
def test_whole_epochs_are_added_until_there_are_as_many_steps(min_steps: int, epochs: int) -> None:
    split = random_split([5] * 40)
    settings = replace(SETTINGS, epochs=2, batch_tokens=100, min_steps=min_steps)
    plan = plan_batches(split, settings)
    assert [epoch for epoch, _ in plan] == [epoch for epoch in range(1, epochs + 1) for _ in range(2)]
    assert all(len(np.unique(np.concatenate([rows for _, rows in plan[i : i + 2]]))) == 40 for i in range(0, 4, 2))


def test_each_step_has_its_own_dropout(start: Start) -> None:
    # One batch, the same in each epoch, and a learning rate at which nothing is learnt.
    settings = replace(SETTINGS, epochs=3, learning_rate=1e-30, batch_tokens=1000)
    same_batch = Start(start.pretrained, random_split([5, 7, 9, 11]))
    assert len(set(same_batch(settings, dropout=0.0).losses)) == 1
    assert len(set(same_batch(settings, dropout=0.1).losses)) == 3


@pytest.mark.parametrize("epochs_done", [1, 1.5])
@pytest.mark.parametrize("precision", COMPUTE)
def test_train_resumes_after_a_step_with_the_same_bits(start: Start, precision: str, epochs_done: float) -> None:
    settings = replace(SETTINGS, epochs=2)
    undisturbed = start(settings, precision=precision, average_weights=True)
    steps: list[Step] = []
    state: dict[str, torch.Tensor] = {}
    for step in undisturbed.steps:
        steps.append(step)
        if step.step == int(step.steps / 2 * epochs_done):
            state = {name: value.clone() for name, value in undisturbed.weights.state().items()}
    done = int(len(steps) / 2 * epochs_done)
    assert steps[done - 1].ends_epoch == (epochs_done == 1)
    resumed = start(settings, precision=precision, average_weights=True, state=state, done=done)
    assert list(resumed.steps) == steps[done:]
    assert equal(resumed.masters(), undisturbed.masters())
    last = resumed.masters()
    with resumed.weights.averaged(), undisturbed.weights.averaged():
        assert equal(resumed.masters(), undisturbed.masters())
        assert all(master.any() for master in resumed.masters())  # zeros if no step was taken into the mean
        assert not equal(resumed.masters(), last)


def test_train_after_its_last_step_does_nothing(start: Start) -> None:
    finished = start(SHORT)
    done = len(list(finished.steps))
    assert list(start(SHORT, state=finished.weights.state(), done=done).steps) == []


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_torchs_mean_over_the_labels(start: Start, smoothing: float) -> None:
    run = start(replace(SHORT, micro_batch_tokens=100), dropout=0.0, label_smoothing=smoothing)
    rows, *_ = shuffled_rows(start.split.lengths, budget=SHORT.batch_tokens, seed=SHORT.seed, epoch=1)
    batch = pack(run.model, start.split, rows, slice(None), COMPUTE["fp32"])
    with torch.no_grad():
        expected = functional.cross_entropy(
            label_logits(run.model, batch), batch.answers[0], label_smoothing=smoothing
        ).item()
    step = next(run.steps)
    assert step.loss == pytest.approx(expected, abs=1e-5)
    assert step.weight == len(batch.answers[0])
    assert step.tokens == batch.tokens


def test_the_gradient_norm_is_that_of_the_mean_loss_before_clipping(start: Start) -> None:
    settings = replace(SHORT, max_gradient_norm=1e-3, micro_batch_tokens=100)
    run = start(settings, dropout=0.0)
    rows, *_ = shuffled_rows(start.split.lengths, budget=SHORT.batch_tokens, seed=SHORT.seed, epoch=1)
    batch = pack(run.model, start.split, rows, slice(None), COMPUTE["fp32"])
    other = start(settings, dropout=0.0)
    functional.cross_entropy(label_logits(other.model, batch), batch.answers[0]).backward()
    gradients = [p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in other.model.parameters()]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    assert next(run.steps).gradient_norm == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_with_the_weights_after_the_step_before(
    start: Start, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    run = start(SETTINGS)
    reports = [next(run.steps) for _ in range(3)]
    before = run.masters()

    def broken(model: PreTrainedModel, batch: Batch, masks: Masks) -> torch.Tensor:
        return label_logits(model, batch, masks) * value

    monkeypatch.setattr(loop, "label_logits", broken)
    with pytest.raises(TrainingError, match=r"^step 4: the loss is nan\.") as raised:
        next(run.steps)
    assert equal(run.masters(), before)
    assert reports[-1].step == 3

    _, message = str(raised.value).split("\n", maxsplit=1)
    batches = shuffled_rows(start.split.lengths, budget=SETTINGS.batch_tokens, seed=SETTINGS.seed, epoch=1)
    sentences = np.unique(start.split.sentence[batches[3]]).tolist()
    assert len(sentences) > 5
    for line, sentence in zip(message.splitlines(), sentences[:5], strict=False):
        words = start.split.words[sentence].as_py()
        assert line == f"  {sentence + 1}: {' '.join(words[:8])}" + (" ..." if len(words) > 8 else "")
    assert message.splitlines()[5] == f"  and {', '.join(str(sentence + 1) for sentence in sentences[5:])}"
    assert message.splitlines()[6].startswith("A lower train.learning_rate")


def test_a_loss_beyond_fp32_with_a_finite_gradient_leaves_the_weights(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(SETTINGS)
    next(run.steps)
    before = run.masters()

    def confident_of_wrong_labels(model: PreTrainedModel, batch: Batch, masks: Masks) -> torch.Tensor:
        wrong_LC = 1 - functional.one_hot(batch.answers[0], len(LABELS))
        return label_logits(model, batch, masks) + 3e38 * wrong_LC

    monkeypatch.setattr(loop, "label_logits", confident_of_wrong_labels)
    with pytest.raises(TrainingError, match="step 2: the loss is inf"):
        next(run.steps)
    assert equal(run.masters(), before)


@pytest.mark.parametrize("precision", COMPUTE)
@pytest.mark.parametrize("micro_batch_tokens", [0, 100])
def test_a_step_never_waits_for_the_device(
    start: Start, precision: str, micro_batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "packs_ahead", lambda _: True)  # as for a GPU
    run = start(replace(SHORT, micro_batch_tokens=micro_batch_tokens), precision=precision)
    with NoWaiting():
        queued = [next(run.pending) for _ in range(3)]
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            float(queued[0].results[0])
    assert [step.read().step for step in queued] == [1, 2, 3]


def test_a_step_read_late_is_the_same(start: Start) -> None:
    late = list(start(SHORT).pending)
    assert [step.read() for step in late] == list(start(SHORT).steps)


def test_a_loss_that_is_not_finite_and_is_read_late_leaves_the_weights(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(SETTINGS)
    next(run.pending)
    before = run.masters()
    logits = iter([math.nan, 1.0])
    monkeypatch.setattr(loop, "label_logits", lambda *arguments: label_logits(*arguments) * next(logits))
    broken, following = next(run.pending), next(run.pending)
    assert equal(run.masters(), before)
    assert following.step == 3
    with pytest.raises(TrainingError, match=r"^step 2: the loss is nan"):
        broken.read()


def test_an_absurd_learning_rate_ends_the_run_with_the_weights_after_the_last_step(start: Start) -> None:
    run = start(replace(SETTINGS, learning_rate=1e30))
    before = run.masters()
    with pytest.raises(TrainingError, match=r"^step \d+: the (loss|norm of the gradient) is (nan|inf)"):  # noqa: PT012  # any step may raise
        for _ in run.steps:
            before = run.masters()
    assert equal(run.masters(), before)
    assert all(master.isfinite().all() for master in before)
