"""fp32 masters of a model's weights, and the fused AdamW that moves them.

The model works in bf16 where the machine has it, since products are several times faster there; a step of 1e-4 would
vanish in the 8 bits of a bf16 mantissa, so AdamW moves fp32 masters, from which the working weights are rounded after
each step, and no cast is paid inside it. Masters, gradients and moments lie flat, one stretch of memory for all weights
with the same rate and decay: clipping, adding up, update and rounding are a few passes, not hundreds of calls.

Of the word embeddings only the rows that occur in the training data can ever get a gradient; only they have masters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch.nn import Parameter
from torch.optim.adamw import adamw
from transformers import PreTrainedModel

from stages.modeling.device import Compute, move_to

BETAS = (0.9, 0.999)
EPSILON = 1e-8
# Values that a CPU clips, moves and rounds before it goes on to the next, so that they stay in its cache meanwhile.
CHUNK = 2**19


@dataclass(frozen=True)
class _Slot:
    """The place of a parameter in the flat tensors; of the word embeddings, that of the rows that train."""

    name: str
    parameter: Parameter
    group: int
    start: int
    shape: torch.Size

    def of(self, flat: Sequence[torch.Tensor]) -> torch.Tensor:
        """The values of this parameter in one kind of flat tensors."""
        return flat[self.group][self.start : self.start + self.shape.numel()].view(self.shape)


class MasterWeights:
    """Masters, gradients and optimizer of `model`, whose parameters become the working weights.

    `vocabulary` holds the ids that occur in the training data. `layerwise_lr_decay` multiplies the learning rate once
    for each layer between a weight and the head (Clark et al., 2020, ELECTRA), `head_lr_multiplier` that of the head.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        compute: Compute,
        *,
        vocabulary: torch.Tensor,
        weight_decay: float,
        layerwise_lr_decay: float,
        head_lr_multiplier: float,
    ) -> None:
        device = compute.device
        self.embedding = cast(torch.nn.Embedding, model.get_input_embeddings())
        self.embedding.sparse = True  # its gradient is then as large as the batch, not as the vocabulary
        self.vocabulary = vocabulary.to(device)
        self.row_of_id = torch.full((self.embedding.num_embeddings,), -1, device=device)
        self.row_of_id[self.vocabulary] = torch.arange(len(vocabulary), device=device)

        pretrained = {name: parameter.detach().float() for name, parameter in model.named_parameters()}
        move_to(model, compute)
        rates = _lr_multipliers(model, layerwise_lr_decay=layerwise_lr_decay, head_lr_multiplier=head_lr_multiplier)
        # Biases and norms are vectors; only matrices decay (Devlin et al., 2019). Word embeddings do not either: decay
        # would shrink the rare words, which have no gradient in most steps.
        decays = {n: p.ndim > 1 and p is not self.embedding.weight for n, p in model.named_parameters()}
        groups = sorted({(rates[name], decays[name]) for name in pretrained})
        self.slots: list[_Slot] = []
        lengths = [0] * len(groups)
        for name, parameter in model.named_parameters():
            group = groups.index((rates[name], decays[name]))
            rows = len(vocabulary) if parameter is self.embedding.weight else parameter.shape[0]
            shape = torch.Size((rows, *parameter.shape[1:]))
            self.slots.append(_Slot(name, parameter, group, lengths[group], shape))
            lengths[group] += shape.numel()

        self._pretrained_embedding = next(
            pretrained[slot.name].cpu() for slot in self.slots if slot.parameter is self.embedding.weight
        )
        self.masters = [torch.empty(length, device=device) for length in lengths]
        self.gradients = [torch.empty(length, device=device) for length in lengths]
        self._has_accumulated = False  # whether `gradients` hold any
        # In fp32 the masters are the working weights, and nothing is rounded.
        self.working = [master.to(compute.dtype) for master in self.masters]
        for slot in self.slots:
            master, weight = slot.of(self.masters), pretrained[slot.name]
            if slot.parameter is self.embedding.weight:
                master.copy_(weight[vocabulary])
            else:
                master.copy_(weight)
                slot.parameter.data = slot.of(self.working)
        self.lr_multipliers = [rate for rate, _ in groups]
        self.weight_decays = [weight_decay if decay else 0.0 for _, decay in groups]
        self.exp_avgs = [torch.zeros_like(master) for master in self.masters]
        self.exp_avg_sqs = [torch.zeros_like(master) for master in self.masters]
        self.step_count = torch.zeros((), device=device)  # how many there were
        self._chunk = CHUNK if device.type == "cpu" else max(lengths)
        self.sync_model()

    def accumulate(self) -> None:
        """Add the gradients of the working weights to those in fp32 that the next update takes."""
        for slot in self.slots:
            gradient, flat = slot.parameter.grad, slot.of(self.gradients)
            slot.parameter.grad = None
            if not self._has_accumulated and (gradient is None or gradient.is_sparse):
                flat.zero_()
            if gradient is None:
                continue
            if gradient.is_sparse:
                rows = self.row_of_id[gradient._indices()[0]]
                trained = rows >= 0  # where rows are padded, the padding is not
                flat.index_add_(0, rows[trained], gradient._values()[trained].float())
                continue
            if slot.shape != gradient.shape:  # an architecture that does not use its embedding as a sparse one
                gradient = gradient[self.vocabulary]
            if self._has_accumulated:
                flat.add_(gradient.float())  # adding the bf16 tensor itself takes ten times as long
            else:
                flat.copy_(gradient)
        self._has_accumulated = True

    def accumulated(self) -> list[torch.Tensor]:
        """The collected gradients, flat; zeros if there are none, as where a process had no share of a batch."""
        if not self._has_accumulated:
            self.accumulate()
        return self.gradients

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for slot in self.slots:
            slot.parameter.grad = None
        self._has_accumulated = False

    def step(self, *, learning_rate: float, max_gradient_norm: float) -> float:
        """Clip the collected gradients by their global norm, step, round; return the norm.

        A norm that is not finite is returned before anything is changed.
        """
        norm = torch.nn.utils.get_total_norm(self.accumulated())
        if not norm.isfinite():
            return norm.item()
        clip = torch.clamp(max_gradient_norm / (norm + 1e-6), max=1.0)  # as torch.nn.utils.clip_grads_with_norm_
        kinds = (self.masters, self.gradients, self.exp_avgs, self.exp_avg_sqs, self.working)
        for *flat, factor, decay in zip(*kinds, self.lr_multipliers, self.weight_decays, strict=True):
            for chunk in zip(*(values.split(self._chunk) for values in flat), strict=True):
                self._step_chunk(*chunk, clip=clip, learning_rate=learning_rate * factor, weight_decay=decay)
        self.step_count += 1
        self.zero_grad()
        self._sync_embedding()
        return norm.item()

    def _step_chunk(
        self,
        master: torch.Tensor,
        gradient: torch.Tensor,
        exp_avg: torch.Tensor,
        exp_avg_sq: torch.Tensor,
        working: torch.Tensor,
        *,
        clip: torch.Tensor,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        """Clip, step by AdamW and round neighbouring values of one group."""
        gradient.mul_(clip)
        adamw(
            [master], [gradient], [exp_avg], [exp_avg_sq], [], [self.step_count.clone()],
            fused=True, amsgrad=False, maximize=False, beta1=BETAS[0], beta2=BETAS[1], eps=EPSILON,
            lr=learning_rate, weight_decay=weight_decay,
        )  # fmt: skip
        if working.dtype != master.dtype:
            working.copy_(master)

    def snapshot(self) -> list[torch.Tensor]:
        """A copy of the flat masters, on the CPU."""
        return [master.detach().to("cpu", copy=True) for master in self.masters]

    def state(self) -> dict[str, torch.Tensor]:
        """Masters, moments and the count of steps by name, not copied."""
        kinds = {"masters": self.masters, "exp_avg": self.exp_avgs, "exp_avg_sq": self.exp_avg_sqs}
        flat = {f"{kind}.{number}": values for kind, group in kinds.items() for number, values in enumerate(group)}
        return {**flat, "step": self.step_count}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Take over a `state`; ValueError, and nothing changed, if it is that of another model."""
        mine = self.state()
        if {name: value.shape for name, value in mine.items()} != {name: state[name].shape for name in state}:
            raise ValueError("it holds the weights of another model")
        for name, value in mine.items():
            value.copy_(state[name])
        self.sync_model()

    def by_name(self, masters: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Flat masters, such as a `snapshot`, as the weights of the model in fp32 on the CPU, all rows included."""
        weights = {slot.name: slot.of(masters) for slot in self.slots}
        name = next(slot.name for slot in self.slots if slot.parameter is self.embedding.weight)
        rows = weights[name]
        weights[name] = self._pretrained_embedding.clone()
        weights[name][self.vocabulary.cpu()] = rows
        return weights

    def sync_model(self) -> None:
        """Round the masters into the working weights."""
        with torch.no_grad():
            for working, master in zip(self.working, self.masters, strict=True):
                if working is not master:
                    working.copy_(master)
            self._sync_embedding()

    @torch.no_grad()
    def _sync_embedding(self) -> None:
        embedding = next(slot for slot in self.slots if slot.parameter is self.embedding.weight)
        self.embedding.weight.index_copy_(0, self.vocabulary, embedding.of(self.working))


def _lr_multipliers(
    model: PreTrainedModel, *, layerwise_lr_decay: float, head_lr_multiplier: float
) -> dict[str, float]:
    """The factor of the learning rate by parameter: `head_lr_multiplier` for the head, decayed for each layer below."""
    names = [name for name, _ in model.named_parameters()]
    head = {name: head_lr_multiplier for name in names if not name.startswith(f"{model.base_model_prefix}.")}
    layers = {name: int(found[1]) + 1 for name in names if (found := re.search(r"\.layers?\.(\d+)\.", name))}
    top = max(layers.values(), default=0)
    decays = {n: layerwise_lr_decay ** (top + 1 - layers.get(n, 0 if "embeddings" in n else top + 1)) for n in names}
    return decays | head
