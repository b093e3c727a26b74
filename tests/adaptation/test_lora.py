"""Adapters, compared with the plain formula, on every linear layer of every architecture."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import PreTrainedModel

from stages.adaptation.adapt import adapt_model, count_weights
from stages.adaptation.lora import FILE, LoraLinear, find_adapters, merge_adapters, write_adapters
from stages.encoding.files import EncodedSplit
from stages.errors import ParamsError
from stages.modeling.dropout import Masks, drop
from stages.modeling.encoder import label_logits
from tests.modeling.conftest import random, random_model, random_split
from tests.modeling.test_encoder import KINDS, PACKED, PADDED, batch_of, parts_of

LORA = {"rank": 2, "alpha": 6.0, "targets": "all-linear", "dropout": 0.0}
LAYERS = {
    "bert": {"query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"},
    "electra with narrow embeddings": {"embeddings_project"},
    "distilbert": {"q_lin", "k_lin", "v_lin", "out_lin", "ffn.lin1", "ffn.lin2"},
}


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split([4, 9, 3, 9, 30, 4, 6])


def adapted(config: dict[str, Any], **changes: Any) -> PreTrainedModel:
    """A random model with adapters as they are at the start of a training run."""
    model = random_model(**config)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        adapt_model(model, "lora", lora=LORA | changes)
    return model


def fill(layer: LoraLinear) -> None:
    """Give an adapter the values of one that was trained."""
    with torch.no_grad():
        layer.lora_B.copy_(random(*layer.lora_B.shape, seed=3))


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_gradients_equal_those_of_the_plain_formula(rate: float) -> None:
    linear = torch.nn.Linear(5, 4, dtype=torch.float64).requires_grad_(requires_grad=False)
    layer = LoraLinear(linear, rank=2, alpha=6.0, dropout=rate).double()
    fill(layer)
    input_NI = random(7, 5, seed=1, dtype=torch.float64)
    mask = Masks(1, 1).draw((7, 5), rate=rate, before=0, like=input_NI)
    factor = 1 if mask is None else mask.kept * mask.scale
    output_NO = functional.linear(input_NI, linear.weight, linear.bias) + layer.update(drop(input_NI, mask))
    update_NO = 3 * (input_NI * factor) @ layer.lora_A.T @ layer.lora_B.T
    expected_NO = input_NI @ linear.weight.T + linear.bias + update_NO
    torch.testing.assert_close(output_NO, expected_NO)
    inputs, gradient_NO = [input_NI, layer.lora_A, layer.lora_B], random(7, 4, seed=2, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(output_NO, inputs, gradient_NO), torch.autograd.grad(expected_NO, inputs, gradient_NO)
    )


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_an_adapter_on_any_layer_changes_the_output_and_merging_keeps_it(
    config: dict[str, Any], split: EncodedSplit
) -> None:
    model = adapted(config)
    batch = batch_of(model, split)
    with torch.no_grad():
        pretrained_LC = label_logits(random_model(**config), batch)
        assert torch.equal(label_logits(model, batch), pretrained_LC)
        for name, layer in find_adapters(model).items():
            fill(layer)
            assert (label_logits(model, batch) - pretrained_LC).abs().max() > 1e-4, name
            layer.lora_B.zero_()
        for layer in find_adapters(model).values():
            fill(layer)
        adapted_LC = label_logits(model, batch)
        merge_adapters(model)
        torch.testing.assert_close(label_logits(model, batch), adapted_LC, rtol=1e-4, atol=1e-4)
    assert not find_adapters(model)
    assert model.state_dict().keys() == random_model(**config).state_dict().keys()


@pytest.mark.parametrize("kind", LAYERS)
def test_all_linear_names_every_linear_layer_of_the_encoder(kind: str) -> None:
    names = set(find_adapters(adapted(KINDS[kind])))
    assert all(any(name.endswith(layer) for name in names) for layer in LAYERS[kind])
    assert not any("classifier" in name for name in names)


@pytest.mark.parametrize("config", [PACKED["bert"], PADDED["distilbert"]], ids=["packed", "padded"])
def test_only_adapters_and_head_get_a_gradient(config: dict[str, Any], split: EncodedSplit) -> None:
    model = adapted(config)
    for layer in find_adapters(model).values():
        fill(layer)
    batch = batch_of(model, split)
    functional.cross_entropy(label_logits(model, batch, Masks(1, 1)), batch.answers[0]).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, _ in model.named_parameters() if "lora_" in name or "classifier" in name}
    trained_weights = sum(p.numel() for name, p in model.named_parameters() if name in trained)
    whole = sum(parameter.numel() for parameter in random_model(**config).parameters())
    assert count_weights(model) == {"trained": trained_weights, "all": whole}


@pytest.mark.parametrize("count", [2, 3])
def test_dropout_of_adapters_does_not_depend_on_the_parts_of_a_batch(count: int, split: EncodedSplit) -> None:
    model = adapted(PACKED["bert"], dropout=0.4)
    for layer in find_adapters(model).values():
        fill(layer)
    with torch.no_grad():
        whole_LC = label_logits(model, batch_of(model, split), Masks(1, 2))
        parts_LC = torch.cat([label_logits(model, part, Masks(1, 2)) for part in parts_of(model, split, count=count)])
        without_LC = label_logits(adapted(PACKED["bert"]), batch_of(model, split), Masks(1, 2))
    torch.testing.assert_close(parts_LC, whole_LC, rtol=0, atol=1e-4)
    assert (whole_LC - without_LC).abs().max() > 0.01


def test_adapters_on_upper_layers_leave_the_lower_ones_frozen() -> None:
    model = adapted(PACKED["bert"], targets=["layer.1.output.dense", "value"])
    assert sorted(name.removeprefix("bert.encoder.") for name in find_adapters(model)) == [
        "layer.0.attention.self.value", "layer.1.attention.self.value", "layer.1.output.dense"
    ]  # fmt: skip


@pytest.mark.parametrize("targets", [["qurey", "value"], ["dense.weight"], ["classifier"]])
def test_a_target_that_names_no_layer_is_an_error_that_lists_them(targets: list[str]) -> None:
    with pytest.raises(ParamsError) as caught:
        adapted(PACKED["bert"], targets=targets)
    message = str(caught.value)
    assert f"{targets[0]} names none" in message
    assert "value names" not in message
    for layer in LAYERS["bert"]:
        assert layer in message


def test_adapters_and_head_are_written_by_the_names_of_their_parameters(tmp_path: Path) -> None:
    model = adapted(PACKED["bert"], targets=["query"])
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    write_adapters(tmp_path, trained)
    written = load_file(tmp_path / FILE)
    assert written.keys() == trained.keys()
    assert all(torch.equal(written[name], trained[name]) for name in trained)
