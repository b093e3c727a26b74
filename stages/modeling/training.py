"""The training loop: a generator that yields one small report per step and writes nothing.

The model works in bf16 where the machine has it; AdamW keeps fp32 masters, since a step of 1e-4 would vanish in the
8 bits of a bf16 mantissa. Working weights are rounded from the masters after each step, so no cast is paid inside it.

Shape legend: B windows in a batch, T sub-words, C labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED, EncodedSplit
from stages.modeling.batches import Batch, assemble, shuffled_rows
from stages.modeling.device import Compute, place


@dataclass(frozen=True)
class Settings:
    """What decides the outcome of a training, beside data, weights and seed."""

    epochs: int
    learning_rate: float
    weight_decay: float
    warmup_ratio: float
    max_gradient_norm: float
    batch_subwords: int


@dataclass(frozen=True)
class Step:
    """One optimizer step: 1-based `step` of `steps` in all, mean loss over its labels, rate, real sub-words."""

    step: int
    steps: int
    epoch: int
    ends_epoch: bool
    loss: float
    learning_rate: float
    subwords: int


class MasterWeights:
    """fp32 masters of a model's trainable weights, and the fused AdamW that moves them.

    In fp32 the masters are the model's own parameters, and nothing is copied.
    """

    def __init__(self, model: PreTrainedModel, settings: Settings, compute: Compute) -> None:
        self.names = [name for name, _ in model.named_parameters()]
        masters: list[torch.Tensor] = [
            parameter.detach().to(compute.device, torch.float32) for parameter in model.parameters()
        ]
        place(model, compute)
        self.working: list[torch.Tensor] = list(model.parameters())
        self.separate = compute.dtype is not torch.float32
        self.masters = masters if self.separate else self.working
        # Biases and norms are vectors; only matrices decay (Devlin et al., 2019, and every implementation since).
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [m for m in self.masters if m.ndim > 1], "weight_decay": settings.weight_decay},
                {"params": [m for m in self.masters if m.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            fused=True,
        )

    def update(self, *, learning_rate: float, max_gradient_norm: float) -> None:
        """Take the working weights' gradients, clip them by their global norm, step, and round the masters back."""
        if self.separate:
            for master, parameter in zip(self.masters, self.working, strict=True):
                master.grad = None if parameter.grad is None else parameter.grad.float()
                parameter.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, max_gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.separate:
            with torch.no_grad():
                torch._foreach_copy_(self.working, self.masters)

    def snapshot(self) -> dict[str, torch.Tensor]:
        """A copy of the masters on the CPU, by parameter name."""
        return {
            name: master.detach().to("cpu", copy=True) for name, master in zip(self.names, self.masters, strict=True)
        }


def train(
    model: PreTrainedModel,
    weights: MasterWeights,
    split: EncodedSplit,
    settings: Settings,
    compute: Compute,
    *,
    seed: int,
) -> Iterator[Step]:
    """Train `model` in place for all epochs, a report after each step.

    The caller may put the model into evaluation mode between two steps; each step sets training mode again.
    """
    plan = [
        (epoch, rows)
        for epoch in range(1, settings.epochs + 1)
        for rows in shuffled_rows(split.lengths, budget=settings.batch_subwords, seed=seed, epoch=epoch)
    ]
    for index, (epoch, rows) in enumerate(plan):
        rate = settings.learning_rate * rate_factor(index, len(plan), settings.warmup_ratio)
        batch = assemble(split, rows, pad_id=model.config.pad_token_id or 0).to(compute.device)
        model.train()
        loss = batch_loss(model, batch)
        loss.backward()
        weights.update(learning_rate=rate, max_gradient_norm=settings.max_gradient_norm)
        yield Step(
            step=index + 1,
            steps=len(plan),
            epoch=epoch,
            ends_epoch=index + 1 == len(plan) or plan[index + 1][0] != epoch,
            loss=loss.item(),
            learning_rate=rate,
            subwords=batch.subwords,
        )


def batch_loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Mean cross entropy over the labelled sub-words of a batch, summed in fp32."""
    logits_BTC = model(input_ids=batch.input_ids_BT, attention_mask=batch.attention_mask_BT).logits
    total = functional.cross_entropy(
        logits_BTC.flatten(0, 1).float(), batch.labels_BT.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (batch.labels_BT != IGNORED).sum().clamp(min=1)


def rate_factor(index: int, steps: int, warmup_ratio: float) -> float:
    """Linear rise over the first `warmup_ratio` of the steps, then linear fall to 0 at the end."""
    warmup = max(1, round(steps * warmup_ratio))
    if index < warmup:
        return (index + 1) / warmup
    return (steps - index) / max(1, steps - warmup)
