"""The second term of the loss by its formula, for each head, and the parent's answers where they belong."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stages.continual.forgetting import name_decision
from stages.continual.retain import RetainingHead, TaughtSplit, retain
from stages.encoding.files import IGNORED
from stages.errors import ParamsError
from stages.modeling.batches import collate
from stages.modeling.classifier import NEVER, add_crf, crf_of, labels_of, name_outputs
from stages.modeling.inference import count_outputs
from stages.tasks.language_modeling.model.head import MaskedWordsHead
from stages.tasks.regression.model.head import NumberHead
from stages.tasks.text_classification.model.head import MultiLabelHead, SingleLabelHead
from stages.tasks.token_classification.model.head import TagHead
from stages.training.distributed import SINGLE_PROCESS
from tests.modeling.conftest import COMPUTE, random_model, random_split

KNOWN = torch.tensor([2, 0])  # of four labels the parent knows these, in this order
WEIGHT = torch.tensor([1.0, 0.5, 0.0])


def softened(logits: torch.Tensor) -> torch.Tensor:
    powers = torch.exp(logits / 2)
    return powers / powers.sum(1, keepdim=True)


def tags(logits: torch.Tensor, parent: torch.Tensor) -> torch.Tensor:
    return -4 * (softened(parent) * softened(logits).log()).sum(1)


def marks(logits: torch.Tensor, parent: torch.Tensor) -> torch.Tensor:
    wanted, found = 1 / (1 + torch.exp(-parent)), 1 / (1 + torch.exp(-logits))
    return -(wanted * found.log() + (1 - wanted) * (1 - found).log()).mean(1)


def numbers(logits: torch.Tensor, parent: torch.Tensor) -> torch.Tensor:
    return ((logits - parent) ** 2).mean(1)


LABELS = torch.tensor([1, 3, 0])
HEADS: dict[str, tuple[Any, tuple[torch.Tensor, ...], Any]] = {
    "tags": (TagHead(0.0), (torch.tensor([1, 3, IGNORED]),), tags),
    "one label": (SingleLabelHead(0.0, None), (LABELS, WEIGHT), tags),
    "several labels": (MultiLabelHead(0.0), (torch.eye(4)[:3], WEIGHT), marks),
    "numbers": (NumberHead(), (torch.ones(3, 4), WEIGHT), numbers),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_adds_the_distance_from_the_parent_on_what_it_knows(name: str) -> None:
    head, answers, formula = HEADS[name]
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, generator=generator, requires_grad=True)
    parent = torch.randn(3, 2, generator=generator)
    counted = torch.tensor([1.0, 1.0, 0.0]) if name == "tags" else WEIGHT
    wanted = head.loss(logits, answers) + 3 * (formula(logits[:, KNOWN], parent) * counted).sum()
    found = RetainingHead(head, 3.0, KNOWN).loss(logits, (*answers, parent))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    (by_formula,) = torch.autograd.grad(wanted, logits)
    (gradient,) = torch.autograd.grad(found, logits)
    torch.testing.assert_close(gradient, by_formula)
    assert not gradient[2].any()  # an output that counts for nothing


def test_each_output_has_the_parents_answer_for_it_in_every_batch() -> None:
    split = random_split([9, 4, 12, 7, 5])
    counts = count_outputs(split)
    first = np.append(0, np.cumsum(counts))
    parent = np.arange(first[-1], dtype=np.float32)[:, None]
    taught = TaughtSplit(split, first, parent)
    whole = np.concatenate([np.arange(first[row], first[row + 1]) for row in range(5)])
    rows = np.array([2, 0, 3, 4, 1])
    batch = collate(taught, rows)
    wanted = np.concatenate([whole[first[row] : first[row + 1]] for row in rows])
    assert batch.answers[-1][:, 0].tolist() == wanted.tolist()
    part = collate(taught, rows, slice(2, 4))
    assert part.answers[-1][:, 0].tolist() == wanted[counts[[2, 0]].sum() : counts[[2, 0, 3, 4]].sum()].tolist()
    assert part.answers[:-1][0].tolist() == collate(split, rows, slice(2, 4)).answers[0].tolist()


@pytest.mark.parametrize("with_crf", [False, True])
def test_outputs_are_those_of_the_same_names_and_others_are_never_predicted(*, with_crf: bool) -> None:
    model = random_model(labels=3)
    model.config.id2label = {0: "a", 1: "b", 2: "c"}
    if with_crf:
        nn.init.normal_(add_crf(model).transitions)
    before, hidden = [*labels_of(model)], torch.randn(5, 16)
    logits, old_crf = model.classifier(hidden), crf_of(model)
    name_outputs(model, ["c", "x", "a"])
    assert labels_of(model) == ["c", "x", "a"]
    torch.testing.assert_close(model.classifier(hidden)[:, [0, 2]], logits[:, [2, 0]])
    assert (model.classifier(hidden)[:, 1] == NEVER).all()
    crf = crf_of(model)
    assert (crf is not None) is with_crf
    if crf is not None and old_crf is not None:
        assert crf.transitions[0, 2] == old_crf.transitions[2, 0]
        assert not crf.transitions[1].any()
    decision = {"temperature": 1.5, "thresholds": [0.1, 0.2, 0.3]}
    assert name_decision(decision, before, ["c", "x", "a"]) == {"temperature": 1.5, "thresholds": [0.3, 1.0, 0.1]}
    assert name_decision({"thresholds": None}, before, ["a"]) == {"thresholds": None}


def test_a_head_without_such_a_distance_is_refused() -> None:
    parent: Any = SimpleNamespace(record=SimpleNamespace(task="language_modeling"))
    with pytest.raises(ParamsError, match=r"train.retain is 2, but the task language_modeling has no answers .*=0\.0"):
        retain(
            MaskedWordsHead(0.0), random_split([5]), parent, [], COMPUTE["fp32"], SINGLE_PROCESS,
            weight=2.0, batch_tokens=64,
        )  # fmt: skip
