"""What is frozen: by the names of the weights, in every architecture."""

from typing import Any

import pytest
import torch

from stages.adaptation.adapt import adapt_model, fill_weights
from stages.adaptation.weights import count_frozen_layers, count_layers, frozen_parts
from stages.encoding.files import EncodedSplit
from stages.errors import ParamsError
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits
from tests.modeling.conftest import random_model, random_split
from tests.modeling.test_encoder import DROPOUT, KINDS, PACKED, PADDED, batch_of


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_freeze_leaves_the_layers_above_to_be_trained(config: dict[str, Any], count: int) -> None:
    model = random_model(**config)
    assert count_layers(model) == 2
    adapt_model(model, "freeze", freeze=count)
    for name, parameter in model.named_parameters():
        lower = "embeddings" in name or any(f"layer.{n}." in name or f"layers.{n}." in name for n in range(count))
        assert parameter.requires_grad != lower, name
    assert count_frozen_layers(model) == count


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_head_leaves_what_is_outside_the_encoder_to_be_trained(config: dict[str, Any]) -> None:
    model = random_model(**config)
    adapt_model(model, "head")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained
    assert not any(name.startswith(f"{model.base_model_prefix}.") for name in trained)
    assert count_frozen_layers(model) == 2


def test_full_trains_everything() -> None:
    model = random_model()
    adapt_model(model, "full")
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert count_frozen_layers(model) == 0
    assert list(frozen_parts(model)) == []


def test_more_frozen_layers_than_there_are_is_an_error() -> None:
    with pytest.raises(ParamsError, match=r"model\.freeze is 3, but this encoder has 2 layers"):
        adapt_model(random_model(), "freeze", freeze=3)


@pytest.mark.parametrize("config", [PACKED["bert"], PADDED["bert with relu"]], ids=["packed", "padded"])
def test_frozen_layers_have_no_dropout(config: dict[str, Any]) -> None:
    split: EncodedSplit = random_split([4, 9, 3, 9])
    model = random_model(**config, **(DROPOUT | {"classifier_dropout": 0.0}))
    batch = batch_of(model, split)
    with torch.no_grad():
        adapt_model(model, "freeze", freeze=1)
        assert (label_logits(model, batch, Masks(1, 1)) - label_logits(model, batch)).abs().max() > 0.01
        adapt_model(model, "head")
        torch.testing.assert_close(label_logits(model, batch, Masks(1, 1)), label_logits(model, batch))


def test_fill_weights_takes_frozen_ones_from_the_pretrained_model() -> None:
    model, trained = random_model(seed=0), {"classifier.bias": torch.full((9,), 7.0)}
    fill_weights(model, trained, lambda: random_model(seed=1))
    expected = dict(random_model(seed=1).named_parameters()) | trained
    assert all(torch.equal(parameter, expected[name]) for name, parameter in model.named_parameters())


def test_fill_weights_reads_nothing_if_all_are_trained() -> None:
    model = random_model()
    fill_weights(model, dict(random_model(seed=1).named_parameters()), lambda: pytest.fail("it was read"))
