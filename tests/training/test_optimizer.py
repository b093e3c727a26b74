import copy
import re
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.modeling.batches import Batch, sorted_rows
from stages.modeling.device import Compute
from stages.modeling.encoder import label_logits, pack
from stages.training.optimizer import MasterWeights
from tests.modeling.conftest import COMPUTE, random_model, random_split

WORDS = "bert.embeddings.word_embeddings.weight"
LEARNING_RATE, DECAY, NORM = 0.01, 0.5, 1.0


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split([8, 5, 9, 5, 6, 7, 4, 8])


def vocabulary_of(split: EncodedSplit) -> torch.Tensor:
    return torch.from_numpy(np.unique(split.input_ids)).long()


def master_weights(
    model: PreTrainedModel,
    split: EncodedSplit,
    *,
    precision: str = "fp32",
    layerwise_lr_decay: float = 1.0,
    head_lr_multiplier: float = 1.0,
    average_weights: bool = False,
) -> MasterWeights:
    vocabulary = vocabulary_of(split)
    assert len(vocabulary) < model.config.vocab_size - 4
    return MasterWeights(
        model,
        COMPUTE[precision],
        vocabulary=vocabulary,
        weight_decay=DECAY,
        layerwise_lr_decay=layerwise_lr_decay,
        head_lr_multiplier=head_lr_multiplier,
        average_weights=average_weights,
    )


def batches_of(split: EncodedSplit, model: PreTrainedModel) -> list[Batch]:
    """All rows of the split in four batches, for a model in its present number format."""
    compute = Compute(torch.device("cpu"), model.dtype)
    rows_of_batches = sorted_rows(split.lengths, budget=14)
    batches = [pack(model, split, rows, slice(None), compute) for rows in rows_of_batches]
    assert len(batches) == 4
    return batches


def backward(model: PreTrainedModel, batch: Batch) -> None:
    functional.cross_entropy(label_logits(model, batch).float(), batch.answers[0]).backward()


def collect(model: PreTrainedModel, weights: MasterWeights, *batches: Batch) -> None:
    with weights.gradients.collect():
        for batch in batches:
            backward(model, batch)


def step(model: PreTrainedModel, weights: MasterWeights, batch: Batch) -> float:
    collect(model, weights, batch)
    return take_step(weights).item()


def take_step(weights: MasterWeights, *, loss: float = 1.0) -> torch.Tensor:
    return weights.step(torch.tensor(loss), learning_rate=LEARNING_RATE, max_gradient_norm=NORM)


def by_name(weights: MasterWeights) -> dict[str, torch.Tensor]:
    return weights.by_name(weights.snapshot())


def copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def multiplier_of(name: str, layerwise_lr_decay: float, head_lr_multiplier: float) -> float:
    if found := re.match(r"bert\.encoder\.layer\.(\d)\.", name):
        return {"1": layerwise_lr_decay, "0": layerwise_lr_decay**2}[found[1]]
    return layerwise_lr_decay**3 if name.startswith("bert.embeddings.") else head_lr_multiplier


@pytest.mark.parametrize(("layerwise_lr_decay", "head_lr_multiplier"), [(1.0, 1.0), (0.5, 4.0)])
def test_step_equals_adamw_on_the_plain_parameters(
    split: EncodedSplit, layerwise_lr_decay: float, head_lr_multiplier: float
) -> None:
    model, plain = random_model(), random_model()
    start = {name: p.detach().clone() for name, p in plain.named_parameters()}
    weights = master_weights(model, split, layerwise_lr_decay=layerwise_lr_decay, head_lr_multiplier=head_lr_multiplier)
    adamw = torch.optim.AdamW(
        [
            {
                "params": [parameter],
                "lr": LEARNING_RATE * multiplier_of(name, layerwise_lr_decay, head_lr_multiplier),
                "weight_decay": 0.0 if parameter.ndim == 1 or name == WORDS else DECAY,
            }
            for name, parameter in plain.named_parameters()
        ]
    )
    clipped = []
    for batch in batches_of(split, model):
        norm = step(model, weights, batch)
        adamw.zero_grad()
        backward(plain, batch)
        expected = torch.nn.utils.clip_grad_norm_(plain.parameters(), NORM).item()
        adamw.step()
        assert norm == pytest.approx(expected, rel=1e-4)
        clipped.append(norm > NORM)
    assert any(clipped)
    found = by_name(weights)
    for name, parameter in plain.named_parameters():
        if name.endswith("key.bias"):  # shifts all scores of a softmax equally, so its gradient is only rounding error
            continue
        assert_close = partial(torch.testing.assert_close, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
        assert_close(found[name], parameter.detach(), atol=1e-5)
        assert_close(dict(model.named_parameters())[name].detach(), found[name], atol=0)
        assert (found[name] - start[name]).abs().max() > LEARNING_RATE * multiplier_of(
            name, layerwise_lr_decay, head_lr_multiplier
        )


def test_step_leaves_rows_outside_the_vocabulary_unchanged(split: EncodedSplit) -> None:
    model = random_model()
    pretrained = random_model().get_input_embeddings().weight.detach()
    weights = master_weights(model, split)
    for batch in batches_of(split, model):
        step(model, weights, batch)
    trained = torch.zeros(len(pretrained), dtype=torch.bool)
    trained[vocabulary_of(split)] = True
    for rows in (by_name(weights)[WORDS], model.get_input_embeddings().weight.detach()):
        assert torch.equal(rows[~trained], pretrained[~trained])
        assert (rows[trained] != pretrained[trained]).any(dim=1).all()


def test_working_weights_are_the_masters_rounded(split: EncodedSplit) -> None:
    model = random_model()
    pretrained = {name: p.detach().clone() for name, p in model.named_parameters()}
    weights = master_weights(model, split, precision="bf16")
    assert same(by_name(weights), pretrained)
    for batch in [None, *batches_of(split, model)]:
        if batch:
            step(model, weights, batch)
        masters = by_name(weights)
        for name, parameter in model.named_parameters():
            assert parameter.dtype is torch.bfloat16
            assert masters[name].dtype is torch.float32
            assert torch.equal(parameter, masters[name].to(torch.bfloat16))
    assert any(not torch.equal(value, value.bfloat16().float()) for value in by_name(weights).values())


def test_by_name_gives_every_weight_of_the_model_in_its_shape(split: EncodedSplit) -> None:
    model = random_model("electra", embedding_size=8)
    pretrained = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert same(by_name(master_weights(model, split)), pretrained)


@pytest.mark.parametrize("kind", ["electra", "distilbert", "deberta-v2", "roberta"])
def test_multipliers_fall_from_head_to_embeddings_in_other_encoders(kind: str, split: EncodedSplit) -> None:
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24} if kind == "distilbert" else {}
    weights = master_weights(random_model(kind, **sizes), split, layerwise_lr_decay=0.5, head_lr_multiplier=3.0)
    multipliers = {slot.name: weights.lr_multipliers[slot.group] for slot in weights.slots}
    expected = {"classifier": 3.0, "layer.1": 0.5, "layer.0": 0.25, "word_embeddings": 0.125}
    for part, multiplier in expected.items():
        assert {value for name, value in multipliers.items() if part in name} == {multiplier}


@pytest.mark.parametrize("precision", COMPUTE)
def test_load_continues_from_a_state_with_the_same_bits(split: EncodedSplit, precision: str) -> None:
    model, other = random_model(), random_model(seed=7)
    other.get_input_embeddings().load_state_dict(model.get_input_embeddings().state_dict())
    weights, again = (master_weights(m, split, precision=precision) for m in (model, other))
    first, second, third, fourth = batches_of(split, model)
    for batch in (first, second):
        step(model, weights, batch)
    step(other, again, fourth)
    assert not same(weights.state(), again.state())
    again.load(copied(weights.state()))
    assert same(weights.state(), again.state())
    for batch in (third, fourth):
        assert step(model, weights, batch) == step(other, again, batch)
    assert same(weights.state(), again.state())
    assert same(dict(model.named_parameters()), dict(other.named_parameters()))


def test_state_holds_all_that_a_step_changes(split: EncodedSplit) -> None:
    model = random_model()
    weights = master_weights(model, split)
    before = copied(weights.state())
    step(model, weights, batches_of(split, model)[0])
    after = weights.state()
    assert before.keys() == after.keys()
    assert {name.split(".")[0] for name in after} == {"masters", "exp_avg", "exp_avg_sq", "step"}
    assert all(not torch.equal(before[name], after[name]) for name in after)


@pytest.mark.parametrize("other", ["labels", "vocabulary", "groups", "missing"])
def test_load_refuses_the_state_of_another_model_and_changes_nothing(split: EncodedSplit, other: str) -> None:
    model = random_model()
    weights = master_weights(model, split)
    step(model, weights, batches_of(split, model)[0])
    theirs = {
        "labels": lambda: master_weights(random_model(labels=4), split),
        "vocabulary": lambda: master_weights(random_model(), random_split([4])),
        "groups": lambda: master_weights(random_model(), split, layerwise_lr_decay=0.5),
        "missing": lambda: master_weights(random_model(), split),
    }[other]()
    state = copied(theirs.state())
    if other == "missing":
        del state["exp_avg_sq.0"]
    before, working = copied(weights.state()), copied(dict(model.named_parameters()))
    with pytest.raises(ValueError, match="another model"):
        weights.load(state)
    assert same(weights.state(), before)
    assert same(dict(model.named_parameters()), working)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", [WORDS, "classifier.bias"])
def test_step_with_a_gradient_that_is_not_finite_changes_nothing(split: EncodedSplit, name: str, value: float) -> None:
    model = random_model()
    weights = master_weights(model, split)
    first, second, *_ = batches_of(split, model)
    step(model, weights, first)
    before, working = copied(weights.state()), copied(dict(model.named_parameters()))
    collect(model, weights, second)
    slot = next(slot for slot in weights.slots if slot.name == name)
    slot.of(weights.gradients.flat).view(-1)[0] = value
    assert not take_step(weights).isfinite()
    step(model, weights, second)  # nor does any step after it
    assert same(weights.state(), before)
    assert same(dict(model.named_parameters()), working)


@pytest.mark.parametrize("loss", [float("inf"), float("nan")])
def test_step_with_a_loss_that_is_not_finite_changes_nothing(split: EncodedSplit, loss: float) -> None:
    model = random_model()
    weights = master_weights(model, split)
    before = copied(weights.state())
    collect(model, weights, batches_of(split, model)[0])
    assert take_step(weights, loss=loss).isfinite()
    assert same(weights.state(), before)


def test_a_step_uses_no_gradient_of_the_step_before(split: EncodedSplit) -> None:
    model = random_model()
    weights = master_weights(model, split)
    step(model, weights, batches_of(split, model)[0])
    assert take_step(weights) == 0


def test_a_snapshot_stays_when_the_masters_change(split: EncodedSplit) -> None:
    model = random_model()
    weights = master_weights(model, split)
    snapshot = weights.snapshot()
    kept = copy.deepcopy(snapshot)
    step(model, weights, batches_of(split, model)[0])
    assert all(torch.equal(one, other) for one, other in zip(snapshot, kept, strict=True))
    assert not torch.equal(snapshot[0], weights.masters[0])


@pytest.mark.parametrize("precision", COMPUTE)
def test_average_is_the_mean_of_every_fourth_step_with_later_ones_weighing_more(
    split: EncodedSplit, precision: str
) -> None:
    model = random_model()
    weights = master_weights(model, split, precision=precision, average_weights=True)
    batch, kept = batches_of(split, model)[0], []
    for number in range(1, 15):
        step(model, weights, batch)
        weights.average(number)
        if number % 4 == 0:
            kept.append(by_name(weights))
    last, working = by_name(weights), copied(model.state_dict())
    # Each mean is the one before it and the step, which weighs 9 / (its number + 8): the first one all.
    expected = kept[0]
    for number, masters in enumerate(kept[1:], start=2):
        share = 9 / (number + 8)
        expected = {name: (1 - share) * value + share * masters[name] for name, value in expected.items()}
    with weights.averaged():
        for name, value in by_name(weights).items():
            torch.testing.assert_close(value, expected[name])
        assert torch.equal(model.classifier.weight, by_name(weights)["classifier.weight"].to(model.dtype))
        assert not torch.equal(model.classifier.weight, working["classifier.weight"])
    assert same(by_name(weights), last)
    assert same(model.state_dict(), working)


def test_average_of_less_than_four_steps_is_the_last_one(split: EncodedSplit) -> None:
    model = random_model()
    weights = master_weights(model, split, average_weights=True)
    step(model, weights, batches_of(split, model)[0])
    weights.average(1)
    last = by_name(weights)
    with weights.averaged():
        assert same(by_name(weights), last)
