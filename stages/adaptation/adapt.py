"""The ways to adapt a pretrained encoder with a new head: which weights are trained."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from stages.adaptation.lora import add_adapters, find_adapters
from stages.adaptation.weights import freeze_encoder, freeze_layers


def adapt_model(model: PreTrainedModel, adapt: str, *, freeze: int = 0, lora: dict[str, Any] | None = None) -> None:
    """Leave to be trained, beside the head: all weights (full), those of adapters, the upper layers, or none (head).

    `freeze` and `lora` are the arguments of the ways of these names. ParamsError if the encoder cannot have them.
    """
    if adapt == "lora":
        freeze_encoder(model)
        add_adapters(model, **(lora or {}))
    elif adapt == "freeze":
        freeze_layers(model, freeze)
    elif adapt == "head":
        freeze_encoder(model)


def count_weights(model: PreTrainedModel) -> dict[str, int]:
    """How many weights are `trained`, those of adapters included, and how many there are in `all` without these."""
    counts = {name: (weight.numel(), weight.requires_grad) for name, weight in model.named_parameters()}
    adapters = sum(layer.lora_A.numel() + layer.lora_B.numel() for layer in find_adapters(model).values())
    return {
        "trained": sum(count for count, is_trained in counts.values() if is_trained),
        "all": sum(count for count, _ in counts.values()) - adapters,
    }


@torch.no_grad()
def fill_weights(
    model: PreTrainedModel, trained: Mapping[str, torch.Tensor], load_pretrained: Callable[[], PreTrainedModel]
) -> None:
    """Give a model in fp32 its trained weights, and the others as they were: while it trained, it had them rounded.

    `load_pretrained` is called only if there are others.
    """
    parameters = dict(model.named_parameters())
    frozen = {} if parameters.keys() <= trained.keys() else dict(load_pretrained().named_parameters())
    for name, parameter in parameters.items():
        parameter.copy_(trained[name] if name in trained else frozen[name])
