"""Low-rank adapters (Hu et al., 2022, LoRA): a linear layer computes x W^T + b + scale * drop(x) A^T B^T.

W and b stay as pretrained, A and B are trained. B starts at zero, so that the first step starts from the pretrained
encoder. `scale` is alpha / rank. An adapter is one matrix with W in the model that is written (`merge_adapters`).

Shape legend: N tokens, I inputs, O outputs, R rank.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch.nn import functional
from transformers import PreTrainedModel

from stages.adaptation.weights import LAYER, is_of_encoder
from stages.errors import ParamsError, list_faults

ALL_LINEAR = "all-linear"
FILE = "adapter.safetensors"  # in the folder of a model, whose matrices include the adapters: what of it was trained

L = TypeVar("L", bound=torch.nn.Linear)


class LoraLinear(torch.nn.Linear):
    """A linear layer with an adapter; `weight` and `bias` are those of the layer that it takes the place of."""

    def __init__(
        self, linear: torch.nn.Linear, *, rank: int, alpha: float, dropout: float, lr_multiplier: float = 1.0
    ) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = alpha / rank
        self.dropout_rate = dropout
        self.lr_multiplier = lr_multiplier  # of A and B, for the optimizer
        self.lora_A = torch.nn.Parameter(torch.empty(rank, linear.in_features))
        self.lora_B = torch.nn.Parameter(torch.zeros(linear.out_features, rank))
        torch.nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as peft does

    def update(self, input_NI: torch.Tensor) -> torch.Tensor:
        """[N, O] what the adapter adds, of an input to which its dropout has been applied."""
        return functional.linear(functional.linear(input_NI, self.lora_A) * self.scale, self.lora_B)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's own name
        """[..., O]; in training the dropout draws from torch's default generator."""
        dropped = functional.dropout(input, self.dropout_rate, self.training)
        return functional.linear(input, self.weight, self.bias) + self.update(dropped)

    def merged(self) -> torch.nn.Linear:
        """A plain layer that computes the same without dropout."""
        linear = torch.nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        with torch.no_grad():
            weight = self.weight + self.scale * (self.lora_B @ self.lora_A)
        linear.weight, linear.bias = torch.nn.Parameter(weight), self.bias
        return linear


def add_adapters(model: PreTrainedModel, *, targets: str | Sequence[str], **options: Any) -> None:
    """Add an adapter, drawn from torch's global generator, to the layers of the encoder that `targets` names.

    `options` are those of `LoraLinear`.

    A target is the name of a module or the end of one, as in peft. ParamsError if one names no linear layer.
    """
    linears = _find(model, torch.nn.Linear)
    chosen = list(linears) if targets == ALL_LINEAR else [name for name in linears if _is_target(name, targets)]
    unknown = (
        [] if targets == ALL_LINEAR else [t for t in targets if not any(_is_target(name, [t]) for name in linears)]
    )
    if unknown or not chosen:
        kinds = sorted({re.sub(rf"^.*{LAYER.pattern}", "", name) for name in linears})
        raise ParamsError(
            list_faults(
                f"model.lora.targets may be {ALL_LINEAR} or name linear layers of this encoder: {', '.join(kinds)}",
                [f"{target} names none" for target in unknown],
            )
        )
    for name in chosen:
        model.set_submodule(name, LoraLinear(linears[name], **options))


def merge_adapters(model: PreTrainedModel) -> None:
    """Put plain layers with the sums of the matrices into the places of the adapters; in fp32, to round least."""
    for name, layer in find_adapters(model).items():
        model.set_submodule(name, layer.merged())


def write_adapters(folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write adapters and head, by the names of their parameters, into the folder of a model."""
    save_file({name: weight.clone() for name, weight in weights.items()}, folder / FILE)


def find_adapters(model: PreTrainedModel) -> dict[str, LoraLinear]:
    """The layers with an adapter, by the names of their modules."""
    return _find(model, LoraLinear)


def _find(model: PreTrainedModel, kind: type[L]) -> dict[str, L]:
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, kind) and is_of_encoder(name, model)
    }


def _is_target(name: str, targets: Sequence[str]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)
