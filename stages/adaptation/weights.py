"""Which weights of an encoder are trained: those that require a gradient. Layers are numbered from the lowest, 0."""

import re
from collections.abc import Iterator

import torch
from transformers import PreTrainedModel

from stages.errors import ParamsError

EMBEDDINGS = -1  # the number of what lies below the layers
LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)(?:\.|$)")


def is_of_encoder(name: str, model: PreTrainedModel) -> bool:
    """Whether a parameter or module belongs to the encoder; what does not is the head."""
    return name.startswith(f"{model.base_model_prefix}.")


def number_layers(model: PreTrainedModel) -> dict[str, int | None]:
    """The layer of each parameter by name, EMBEDDINGS for those; None for what lies above or has no number."""
    return {name: _layer_of(name) for name, _ in model.named_parameters()}


def count_layers(model: PreTrainedModel) -> int:
    """The number of layers of the encoder; 0 for an architecture whose layers have no numbers."""
    return 1 + max((number for number in number_layers(model).values() if number is not None), default=EMBEDDINGS)


def freeze_encoder(model: PreTrainedModel) -> None:
    """Leave nothing but the head to be trained."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not is_of_encoder(name, model))


def freeze_layers(model: PreTrainedModel, count: int) -> None:
    """Leave what lies above the lowest `count` layers to be trained; ParamsError if there are fewer."""
    layers = count_layers(model)
    if count > layers:
        raise ParamsError(
            f"model.freeze is {count}, but this encoder has {layers} layers. "
            "To train nothing but the head: tuneline run --set model.adapt=head"
        )
    numbers = number_layers(model)
    for name, parameter in model.named_parameters():
        number = numbers[name]
        parameter.requires_grad_(number is None or number >= count)


def count_frozen_layers(model: PreTrainedModel) -> int:
    """How many of the lowest layers have no trained weights, nor have the embeddings below them."""
    lowest: int | None = None
    for name, parameter in model.base_model.named_parameters():
        number = _layer_of(name) if parameter.requires_grad else None
        if number is not None:
            lowest = number if lowest is None else min(lowest, number)
            if lowest <= 0:  # found at once, where embeddings or the lowest layer are trained
                return 0
    return count_layers(model) if lowest is None else lowest


def frozen_parts(model: PreTrainedModel) -> Iterator[torch.nn.Module]:
    """The embeddings and the frozen layers, if there are any of the latter."""
    count = count_frozen_layers(model)
    for name, module in model.base_model.named_modules() if count else ():
        found = LAYER.search(name)
        if name.endswith("embeddings") or (found and found.end() == len(name) and int(found[1]) < count):
            yield module


def _layer_of(name: str) -> int | None:
    found = LAYER.search(name)
    return int(found[1]) if found else EMBEDDINGS if "embeddings" in name else None
