"""The language model in the engine: loss and gradients as transformers and PyTorch have them, steps that repeat."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM, PreTrainedModel

from stages.adaptation.adapt import adapt_model
from stages.encoding.files import IGNORED
from stages.modeling.batches import collate
from stages.modeling.classifier import load_classifier
from stages.modeling.device import set_deterministic
from stages.modeling.encoder import label_logits, pack
from stages.modeling.inference import keep_frozen_states
from stages.tasks.language_modeling.model.head import MaskedWordsHead, load_model, predict, read_split, score
from stages.tasks.language_modeling.model.split import MaskedTexts
from stages.training.distributed import World
from stages.training.loop import Settings, train
from stages.training.optimizer import MasterWeights, find_vocabulary, has_tied_outputs
from stages.training.prefetch import PackedSteps
from tests.modeling.conftest import COMPUTE, random_model
from tests.tasks.language_modeling.windows import TASK, encode, write_documents
from tests.training.test_adaptation import ADAPTATIONS
from tests.training.test_loop import SHORT

SETTINGS = replace(SHORT, batch_tokens=200, learning_rate=1e-3)
ROWS = np.array([3, 0, 2])
LABELS = ["masked words"]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> dict[str, MaskedTexts]:
    folder = tmp_path_factory.mktemp("head")
    write_documents(folder / "raw")
    manifest = encode(folder / "raw", tiny_pretrained, folder / "encoded")
    return {split: read_split(folder / "encoded", split, manifest, TASK) for split in ("train", "dev")}


@pytest.fixture
def model(tiny_pretrained: Path) -> PreTrainedModel:
    torch.manual_seed(0)
    model = load_model(tiny_pretrained, labels=LABELS, dropout=0.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("cls."):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def own_forward(model: PreTrainedModel, split: MaskedTexts) -> tuple[torch.Tensor, torch.Tensor]:
    """What transformers computes of ROWS: logits at masked places, and its mean loss."""
    model.eval()
    windows = [split.read(row) for row in ROWS.tolist()]
    ids = torch.zeros(len(ROWS), int(split.lengths[ROWS].max()), dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for place, window in enumerate(windows):
        ids[place, : len(window.ids_T)] = torch.from_numpy(window.ids_T.astype(np.int64))
        mask[place, : len(window.ids_T)] = 1
        labels[place, window.places_L] = torch.from_numpy(window.gold_L)
    output = model(input_ids=ids, attention_mask=mask, labels=labels)
    return output.logits[labels != IGNORED], output.loss


def test_logits_loss_and_gradients_are_those_of_transformers(
    model: PreTrainedModel, splits: dict[str, MaskedTexts]
) -> None:
    split = splits["train"].at_step(1, 0)  # type: ignore[attr-defined]  # of train
    expected, loss = own_forward(model, split)
    loss.backward()
    gradients = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    model.zero_grad()
    batch = pack(model, split, ROWS, slice(None), COMPUTE["fp32"])
    logits = label_logits(model, batch)
    torch.testing.assert_close(logits, expected)
    own = MaskedWordsHead(0.0).loss(logits, batch.answers)
    torch.testing.assert_close(own / split.weight(ROWS, ROWS), loss.detach())
    (own / split.weight(ROWS, ROWS)).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name)
    assert parameter.grad is not None


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_cross_entropy_of_pytorch_on_random_input(smoothing: float) -> None:
    logits, gold = torch.randn(7, 50, requires_grad=True), torch.randint(50, (7,))
    gold[2] = IGNORED
    expected = functional.cross_entropy(logits[gold >= 0], gold[gold >= 0], reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(MaskedWordsHead(smoothing).loss(logits, (gold,)), expected)


def test_model_that_is_written_is_read_by_transformers(
    model: PreTrainedModel, splits: dict[str, MaskedTexts], tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    found, _ = own_forward(AutoModelForMaskedLM.from_pretrained(tmp_path), splits["dev"])
    torch.testing.assert_close(found, own_forward(model, splits["dev"])[0])
    again = load_model(tmp_path, labels=LABELS, dropout=0.1)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    encoder = load_classifier(tmp_path, labels=["O", "B-PER"])
    assert all(torch.equal(value, encoder.bert.state_dict()[name]) for name, value in model.bert.state_dict().items())


def start(
    pretrained: Path, split: MaskedTexts, settings: Settings, adapt: str = "full", **options: Any
) -> tuple[MasterWeights, Any]:
    set_deterministic(seed=1, threads=1)
    model = load_model(pretrained, labels=LABELS, dropout=0.1)
    adapt_model(model, adapt, **ADAPTATIONS[adapt])
    keep_frozen_states(model, split, COMPUTE["fp32"], batch_tokens=100)
    weights = MasterWeights(
        model,
        COMPUTE["fp32"],
        vocabulary=find_vocabulary(model, split.input_ids),
        weight_decay=0.01,
        layerwise_lr_decay=1.0,
        head_lr_multiplier=1.0,
    )
    return weights, train(model, weights, split, settings, COMPUTE["fp32"], head=MaskedWordsHead(0.0), **options)


@pytest.mark.parametrize("adapt", ["full", "freeze"])
def test_smaller_parts_of_a_batch_take_the_same_steps(
    tiny_pretrained: Path, splits: dict[str, MaskedTexts], adapt: str
) -> None:
    _, whole = start(tiny_pretrained, splits["train"], SETTINGS, adapt)
    _, parts = start(tiny_pretrained, splits["train"], replace(SETTINGS, micro_batch_tokens=60), adapt)
    for one, other in zip(whole, parts, strict=True):
        first, second = one.read(), other.read()
        assert (first.weight, first.tokens) == (second.weight, second.tokens)
        assert second.loss == pytest.approx(first.loss, abs=1e-4)


def test_a_run_that_resumes_ends_with_the_same_bits(tiny_pretrained: Path, splits: dict[str, MaskedTexts]) -> None:
    weights, steps = start(tiny_pretrained, splits["train"], SETTINGS)
    losses, state = [], {}
    for step in steps:
        losses.append(step.read().loss)
        if step.step == 2:
            state = {name: value.clone() for name, value in weights.state().items()}
    resumed, rest = start(tiny_pretrained, splits["train"], SETTINGS, done=2)
    resumed.load(state)
    assert [step.read().loss for step in rest] == losses[2:]
    assert all(torch.equal(one, other) for one, other in zip(weights.masters, resumed.masters, strict=True))


def test_two_processes_read_the_masks_of_one_that_are_those_of_the_step(splits: dict[str, MaskedTexts]) -> None:
    split, plan = splits["train"], [ROWS, ROWS]

    def read(rank: int, size: int) -> tuple[list[int], list[int], float]:
        world = World(rank, size)
        with PackedSteps(plan, split, collate, seed=1, world=world, micro_batch_tokens=30, in_thread=False) as steps:
            packed = steps.get(1)
        ids, gold = ([getattr(part, name) for part in packed.parts] for name in ("input_ids_N", "answers"))
        return torch.cat(ids).tolist(), torch.cat([own for (own,) in gold]).tolist(), packed.weight

    alone, first, second = read(0, 1), read(0, 2), read(1, 2)
    assert alone == (first[0] + second[0], first[1] + second[1], first[2])
    whole = collate(split.at_step(1, 1), ROWS)  # type: ignore[attr-defined]  # of train
    assert alone[:2] == (whole.input_ids_N.tolist(), whole.answers[0].tolist())
    assert alone[0] != collate(split, ROWS).input_ids_N.tolist()


def test_all_token_embeddings_are_trained_where_the_outputs_are_tied_to_them(
    model: PreTrainedModel, splits: dict[str, MaskedTexts]
) -> None:
    assert has_tied_outputs(model)
    assert find_vocabulary(model, splits["train"].input_ids).tolist() == list(range(model.config.vocab_size))
    assert not has_tied_outputs(random_model())


def test_dev_is_scored_with_the_mean_surprise(model: PreTrainedModel, splits: dict[str, MaskedTexts]) -> None:
    dev = splits["dev"]
    guesses = predict(model, dev, COMPUTE["fp32"], batch_tokens=100)
    logits, _ = own_forward(model, dev)
    gold = torch.from_numpy(np.concatenate([dev.read(row).gold_L for row in ROWS.tolist()]))
    nats = functional.cross_entropy(logits, gold, reduction="none")
    own = np.concatenate([guesses.nats_L[slice(*guesses.bounds_R[row : row + 2])] for row in ROWS.tolist()])
    assert own == pytest.approx(nats.detach().numpy(), abs=1e-4)
    assert score(guesses, dev, None, TASK) == pytest.approx(-guesses.nats_L.mean())  # type: ignore[arg-type]
