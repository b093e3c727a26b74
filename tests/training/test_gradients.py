"""Gradients that are collected while the backward runs, and reduced in buckets while the last one does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.modeling.batches import Batch
from stages.modeling.encoder import label_logits
from stages.training import gradients as module
from stages.training.distributed import World
from stages.training.gradients import Gradients, Slot, cut_buckets
from tests.modeling.conftest import random_model, random_split
from tests.training.test_optimizer import batches_of, master_weights, vocabulary_of

WORDS = "word_embeddings.weight"


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split([8, 5, 9, 5, 6, 7, 4, 8])


def backward(model: PreTrainedModel, batch: Batch) -> None:
    functional.cross_entropy(label_logits(model, batch).float(), batch.answers[0]).backward()


def copied(flat: list[torch.Tensor]) -> list[torch.Tensor]:
    return [values.clone() for values in flat]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "deberta-v2", "roberta"])
def test_they_are_autograds_gradients_of_all_weights_that_are_trained(
    kind: str, sparse: bool, split: EncodedSplit
) -> None:
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24} if kind == "distilbert" else {}
    model, plain = (random_model(kind, **sizes) for _ in range(2))
    weights = master_weights(model, split)
    weights.embedding.sparse = sparse
    with weights.gradients.collect():
        for batch in batches_of(split, model)[:2]:
            backward(model, batch)
            backward(plain, batch)
    flat = weights.gradients.reduce()
    expected = dict(plain.named_parameters())
    for slot in weights.slots:
        gradient = expected[slot.name].grad
        gradient = torch.zeros_like(expected[slot.name]) if gradient is None else gradient
        if slot.name.endswith(WORDS):
            gradient = gradient[vocabulary_of(split)]
        torch.testing.assert_close(slot.of(flat), gradient, atol=1e-6, rtol=1e-4)


def test_they_add_up_over_backwards_and_clear_drops_them(split: EncodedSplit) -> None:
    model = random_model()
    weights = master_weights(model, split)
    first, second, *_ = batches_of(split, model)
    found = []
    with weights.gradients.collect():
        for batches in ([first], [second], [first, second]):
            for batch in batches:
                backward(model, batch)
            found.append(copied(weights.gradients.reduce()))
            weights.gradients.clear()
        for one, other, both in zip(*found, strict=True):
            assert one.any()
            torch.testing.assert_close(one + other, both)
        backward(model, first)
        weights.gradients.restart()
        backward(model, second)
        assert same(weights.gradients.reduce(), found[1])
        backward(model, first)
        weights.gradients.clear()
        assert not any(gradient.any() for gradient in weights.gradients.reduce())


def test_a_parameter_without_a_gradient_counts_as_zeros(split: EncodedSplit) -> None:
    model: Any = random_model()
    weights = master_weights(model, split)
    with weights.gradients.collect():
        backward(model, batches_of(split, model)[0])
        weights.gradients.reduce()
        weights.gradients.clear()
        model.classifier.bias.sum().backward()
        flat = weights.gradients.reduce()
    for slot in weights.slots:
        assert bool(slot.of(flat).any()) == (slot.name == "classifier.bias")


def test_a_gradient_is_freed_before_the_next_is_computed(split: EncodedSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model()
    weights = master_weights(model, split, precision="bf16")
    left: list[int] = []
    add = Gradients._add

    def counting(self: Gradients, number: int, gradient: torch.Tensor) -> None:
        left.append(sum(parameter.grad is not None for parameter in model.parameters()))
        add(self, number, gradient)

    monkeypatch.setattr(Gradients, "_add", counting)
    with weights.gradients.collect():
        backward(model, batches_of(split, model)[0])
    assert left == [0] * len(weights.slots)


def test_outside_the_context_gradients_stay_with_the_parameters(split: EncodedSplit) -> None:
    model = random_model()
    weights = master_weights(model, split)
    with pytest.raises(KeyError), weights.gradients.collect():
        raise KeyError
    backward(model, batches_of(split, model)[0])
    assert all(parameter.grad is not None for parameter in model.parameters())


def slots_of(*groups: list[int]) -> list[Slot]:
    """Slots with these numbers of values, group by group."""
    parameter = torch.nn.Parameter(torch.empty(0))
    slots = []
    for group, sizes in enumerate(groups):
        start = 0
        for size in sizes:
            slots.append(Slot(f"{group}.{start}", parameter, group, start, torch.Size((size,))))
            start += size
    return slots


def test_buckets_are_cut_from_the_end_at_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUCKET_BYTES", 40)
    buckets = cut_buckets(slots_of([3, 4, 12, 6, 5], [2, 1]))
    found = [(bucket.group, bucket.start, bucket.stop, set(bucket.slots)) for bucket in buckets]
    assert found == [(1, 0, 3, {5, 6}), (0, 19, 30, {3, 4}), (0, 7, 19, {2}), (0, 0, 7, {0, 1})]


def test_buckets_cover_every_gradient_once_and_the_input_comes_last(
    split: EncodedSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUCKET_BYTES", 1000)
    weights = master_weights(random_model(), split, layerwise_lr_decay=0.5)
    buckets = cut_buckets(weights.slots)
    assert len(buckets) > 5
    covered = [torch.zeros_like(flat) for flat in weights.gradients.flat]
    for bucket in buckets:
        covered[bucket.group][bucket.start : bucket.stop] += 1
    assert all((values == 1).all() for values in covered)
    assert any(weights.slots[number].name.endswith(WORDS) for number in buckets[-1].slots)
    assert all(min(one.slots) > min(other.slots) for one, other in pairwise(buckets))


@dataclass
class Recorded:
    """Stands for a World of two processes, the other of which contributes zeros."""

    size: int = 2
    running: bool = False  # whether a backward runs
    started: list[tuple[int, bool, torch.Tensor]] = field(default_factory=list)
    waited: int = 0

    def start_all_reduce(self, tensor: torch.Tensor) -> "Recorded":
        self.started.append((tensor.data_ptr(), self.running, tensor.clone()))
        return self

    def wait(self) -> None:
        self.waited += 1

    @property
    def places(self) -> list[int]:
        return [place for place, _, _ in self.started]


class Several:
    """Weights of one of several processes, whose buckets are single parameters."""

    def __init__(self, split: EncodedSplit) -> None:
        self.model = random_model()
        self.weights = master_weights(self.model, split)
        self.gradients, self.world = self.weights.gradients, Recorded()
        self.batches = batches_of(split, self.model)

    def collect(self) -> Any:
        return self.gradients.collect(cast(World, self.world))

    def backward(self, batch: Batch, *, is_last: bool) -> None:
        self.gradients.begin_backward(is_last=is_last)
        self.world.running = True
        backward(self.model, batch)
        self.world.running = False


@pytest.fixture
def several(split: EncodedSplit, monkeypatch: pytest.MonkeyPatch) -> Several:
    monkeypatch.setattr(module, "BUCKET_BYTES", 1)
    return Several(split)


def test_buckets_are_reduced_while_the_last_backward_runs(several: Several) -> None:
    with several.collect():
        several.backward(several.batches[0], is_last=False)
        assert several.world.started == []
        several.backward(several.batches[1], is_last=True)
        assert several.world.waited == 0
        assert [running for _, running, _ in several.world.started] == [True] * len(several.weights.slots)
        flat = several.gradients.reduce()
        assert several.world.waited == len(several.weights.slots)
        by_place = {place: values for place, _, values in several.world.started}
    assert len(by_place) == len(several.weights.slots)
    for slot in several.weights.slots:  # each was complete when it was sent
        values = slot.of(flat)
        assert torch.equal(by_place[values.data_ptr()], values.flatten())


def one_slot_less(several: Several) -> None:
    """A backward that gives the norm of a layer no gradient."""
    cast(Any, several.model).bert.encoder.layer[1].output.LayerNorm.bias.requires_grad_(False)
    several.backward(several.batches[0], is_last=True)
    assert 0 < len(several.world.started) < len(several.weights.slots)


def out_of_memory(several: Several) -> None:
    """A last micro-batch that does not fit, after some buckets were sent, and is then computed in two parts."""
    first, second = several.batches[:2]
    parameter = cast(Any, several.model).bert.encoder.layer[0].output.dense.weight

    def fail(_: torch.Tensor) -> None:
        raise MemoryError

    several.backward(first, is_last=False)
    hook = parameter.register_hook(fail)
    with pytest.raises(MemoryError):
        several.backward(second, is_last=True)
    hook.remove()
    sent = several.world.started.copy()
    assert 0 < len(sent) < len(several.weights.slots)
    several.gradients.restart()
    several.backward(first, is_last=False)
    assert len(several.world.started) == len(sent)
    several.backward(second, is_last=True)


WAYS: dict[str, Callable[[Several], None]] = {
    "an empty shard": lambda _: None,
    "a parameter without a gradient": one_slot_less,
    "out of memory": out_of_memory,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_process_reduces_the_same_buckets_in_the_same_order(
    several: Several, split: EncodedSplit, way: Callable[[Several], None]
) -> None:
    with several.collect():
        way(several)
        flat = several.gradients.reduce()
        several.gradients.reduce()
    expected = [flat[b.group][b.start : b.stop].data_ptr() for b in cut_buckets(several.weights.slots)]
    assert several.world.places == expected


def test_what_was_sent_before_memory_ran_out_is_sent_once_and_stays(several: Several, split: EncodedSplit) -> None:
    with several.collect():
        out_of_memory(several)
        found = copied(several.gradients.reduce())
    plain = Several(split)
    with plain.gradients.collect():
        for batch in plain.batches[:2]:
            plain.backward(batch, is_last=False)
        expected = plain.gradients.reduce()
    assert same(found, expected)
    sums = torch.cat([values for _, _, values in several.world.started]).sum()
    torch.testing.assert_close(sums, torch.cat(expected).sum(), atol=1e-4, rtol=1e-4)


def test_the_next_step_starts_over(several: Several) -> None:
    with several.collect():
        for _ in range(2):
            several.backward(several.batches[0], is_last=True)
            several.gradients.reduce()
            several.gradients.clear()
    half = len(several.world.started) // 2
    assert half == len(several.weights.slots)
    assert several.world.places[:half] == several.world.places[half:]
    for (_, _, one), (_, _, other) in zip(several.world.started[:half], several.world.started[half:], strict=True):
        assert torch.equal(one, other)
