"""Training runs that leave weights as they are: with adapters, with frozen layers, of the head alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from stages.adaptation.adapt import adapt_model
from stages.encoding.files import EncodedSplit
from stages.modeling.inference import keep_frozen_states
from stages.tasks.token_classification.model.head import TagHead
from stages.training.history import Step
from stages.training.loop import Settings, train
from stages.training.optimizer import MasterWeights
from tests.modeling.conftest import COMPUTE, random_model, random_split
from tests.training.test_memory import DROPOUT, SETTINGS
from tests.training.weights import make_weights

ADAPTATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"lora": {"rank": 2, "alpha": 8.0, "targets": "all-linear", "dropout": 0.2, "lr_multiplier": 3.0}},
    "freeze": {"freeze": 1},
    "head": {},
}
partly = pytest.mark.parametrize("adapt", ["lora", "freeze", "head"])
every_precision = pytest.mark.parametrize("precision", COMPUTE)


@dataclass(frozen=True)
class Run:
    """A training run of a random model."""

    model: PreTrainedModel
    weights: MasterWeights
    steps: Iterator[Step]


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split(np.random.default_rng(0).integers(4, 15, 60).tolist())


def start(
    split: EncodedSplit,
    adapt: str,
    *,
    precision: str = "fp32",
    settings: Settings = SETTINGS,
    state: dict[str, torch.Tensor] | None = None,
    done: int = 0,
    keep: bool = True,
) -> Run:
    model, compute = random_model(**DROPOUT), COMPUTE[precision]
    torch.manual_seed(1)
    adapt_model(model, adapt, **ADAPTATIONS[adapt])
    weights = make_weights(model, split, compute, head_lr_multiplier=10.0)
    if state:
        weights.load(state)
    if keep:
        keep_frozen_states(model, split, compute, batch_tokens=100)
    pending = train(model, weights, split, settings, compute, head=TagHead(0.0), done=done)
    return Run(model, weights, (step.read() for step in pending))


def masters(run: Run) -> dict[str, torch.Tensor]:
    return run.weights.by_name(run.weights.snapshot())


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_adapters_have_their_own_learning_rate(split: EncodedSplit) -> None:
    weights = start(split, "lora").weights
    found = {slot.name.rpartition(".")[2]: weights.lr_multipliers[slot.group] for slot in weights.slots}
    assert found == {"lora_A": 3.0, "lora_B": 3.0, "weight": 10.0, "bias": 10.0}


@every_precision
@partly
def test_frozen_weights_stay_and_all_others_move(split: EncodedSplit, adapt: str, precision: str) -> None:
    run = start(split, adapt, precision=precision)
    parameters = dict(run.model.named_parameters())
    before, at_first = {n: p.detach().clone() for n, p in parameters.items()}, masters(run)
    losses = [step.loss for step in run.steps]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    assert masters(run).keys() == trained
    for name, parameter in parameters.items():
        if name not in trained:
            assert parameter.dtype is COMPUTE[precision].dtype
            assert torch.equal(parameter, before[name]), name
        elif not name.endswith("key.bias"):  # shifts all scores of a softmax equally
            assert not torch.equal(masters(run)[name], at_first[name]), name


@every_precision
@partly
def test_a_resumed_run_ends_with_the_same_bits(split: EncodedSplit, adapt: str, precision: str) -> None:
    undisturbed, stopped = (start(split, adapt, precision=precision) for _ in range(2))
    expected = list(undisturbed.steps)
    for _ in range(4):
        next(stopped.steps)
    state = {name: value.clone() for name, value in stopped.weights.state().items()}
    resumed = start(split, adapt, precision=precision, state=state, done=4)
    assert list(resumed.steps) == expected[4:]
    assert same(masters(resumed), masters(undisturbed))


@partly
def test_the_state_holds_what_is_trained_alone(split: EncodedSplit, adapt: str) -> None:
    run = start(split, adapt)
    trained = sum(parameter.numel() for parameter in run.model.parameters() if parameter.requires_grad)
    assert sum(value.numel() for value in run.weights.state().values()) == 3 * trained + 1


@partly
def test_smaller_parts_give_the_same_steps(split: EncodedSplit, adapt: str) -> None:
    whole = list(start(split, adapt).steps)
    parts = list(start(split, adapt, settings=replace(SETTINGS, micro_batch_tokens=30)).steps)
    assert [step.loss for step in parts] == pytest.approx([step.loss for step in whole], abs=1e-4)


@pytest.mark.parametrize("adapt", ["freeze", "head"])
def test_kept_states_give_the_same_steps_without_the_frozen_layers(split: EncodedSplit, adapt: str) -> None:
    computed, kept = start(split, adapt, keep=False), start(split, adapt)
    with torch.no_grad():
        kept.model.base_model.encoder.layer[0].attention.self.value.bias.fill_(torch.nan)
    expected = [step.loss for step in computed.steps]
    assert [step.loss for step in kept.steps] == pytest.approx(expected, abs=1e-5)
