"""fp32 master weights of a model, and the fused AdamW that updates them.

The model computes in bf16 where the hardware supports it, since matrix products are several times faster then. A step
of 1e-4 would vanish in the 8 bits of a bf16 mantissa, so AdamW updates fp32 masters, from which the working weights are
rounded after each step; no cast is paid inside it. Masters, gradients and moments are flat: one contiguous tensor for
all weights with the same learning rate and weight decay, so that clipping, accumulation, update and rounding are a few
passes over memory instead of hundreds of calls.

Of the token embeddings only the rows of tokens that occur in the training data ever get a gradient; only these rows
have masters. All rows have some where the outputs of a language model are tied to them, since each output has a
gradient in each step. Frozen weights, which require no gradient, have none, and no moments: they are never touched.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.adamw import adamw
from transformers import PreTrainedModel

from stages.adaptation.lora import find_adapters
from stages.adaptation.weights import count_layers, is_of_encoder, number_layers
from stages.modeling.device import Compute, move_to
from stages.training.gradients import Gradients, Slot

BETAS = (0.9, 0.999)
EPSILON = 1e-8
AVERAGED_EVERY = 4  # steps; a pass over the masters at each of them would take 3 % of a training run
AVERAGING_POWER = 8


class MasterWeights:
    """Masters, gradients and optimizer of the trained parameters of `model`, which become the working weights.

    `vocabulary` holds the ids whose embeddings are trained (`find_vocabulary`). `layerwise_lr_decay` multiplies the
    learning rate once for each layer between a weight and the head (Clark et al., 2020, ELECTRA), `head_lr_multiplier`
    that of the head. With `average_weights` a mean of the masters over the steps so far is kept, in which the weight of
    a step grows with about the eighth power of its number: a mean of the last tenth of the steps, however many there
    are (polynomial-decay averaging, Shamir and Zhang, 2013).
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
        average_weights: bool = False,
    ) -> None:
        self.embedding = cast(torch.nn.Embedding, model.get_input_embeddings())
        # Its gradient is then as large as the batch, not as the vocabulary, which that of tied outputs is anyway.
        self.embedding.sparse = not has_tied_outputs(model)
        self.embedding.padding_idx = None  # torch would wait for the device to leave its rows out of the gradient
        self.vocabulary = vocabulary.to(compute.device)

        pretrained = {n: p.detach().float() for n, p in model.named_parameters() if p.requires_grad}
        move_to(model, compute)
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        multipliers = _lr_multipliers(
            model, layerwise_lr_decay=layerwise_lr_decay, head_lr_multiplier=head_lr_multiplier
        )
        # Only matrices decay, not biases and norms, which are vectors (Devlin et al., 2019). Token embeddings do not
        # either: decay would shrink rare tokens, which have no gradient in most steps.
        decays = {n: p.ndim > 1 and p is not self.embedding.weight for n, p in trained.items()}
        formats = {name: parameter.dtype for name, parameter in trained.items()}  # that of a CRF is fp32
        groups = sorted(
            {(multipliers[n], decays[n], formats[n]) for n in pretrained}, key=lambda g: (*g[:2], str(g[2]))
        )
        self.slots: list[Slot] = []
        lengths = [0] * len(groups)
        for name, parameter in trained.items():
            group = groups.index((multipliers[name], decays[name], formats[name]))
            rows = len(vocabulary) if parameter is self.embedding.weight else parameter.shape[0]
            shape = torch.Size((rows, *parameter.shape[1:]))
            self.slots.append(Slot(name, parameter, group, lengths[group], shape))
            lengths[group] += shape.numel()

        embedding = [slot for slot in self.slots if slot.parameter is self.embedding.weight]
        self._embedding_slot = embedding[0] if embedding else None  # None if they are frozen
        self._pretrained_embedding = pretrained[embedding[0].name].cpu() if embedding else None
        self.masters = [torch.empty(length, device=compute.device) for length in lengths]
        self.gradients = Gradients(self.slots, vocabulary=self.vocabulary, embedding_rows=self.embedding.num_embeddings)
        # In fp32 the masters are the working weights, and nothing is rounded.
        self.working = [master.to(dtype) for master, (*_, dtype) in zip(self.masters, groups, strict=True)]
        for slot in self.slots:
            master, weight = slot.of(self.masters), pretrained[slot.name]
            if slot.parameter is self.embedding.weight:
                master.copy_(weight[vocabulary])
            else:
                master.copy_(weight)
                slot.parameter.data = slot.of(self.working)
        self.lr_multipliers = [multiplier for multiplier, _, _ in groups]
        self.weight_decays = [weight_decay if decay else 0.0 for _, decay, _ in groups]
        self.exp_avgs = [torch.zeros_like(master) for master in self.masters]
        self.exp_avg_sqs = [torch.zeros_like(master) for master in self.masters]
        self.averages = [torch.zeros_like(master) for master in self.masters] if average_weights else []
        self.step_count = torch.zeros((), device=compute.device)
        self.failed = torch.zeros((), device=compute.device)  # 1 after a step that was not finite
        self.sync_model()

    def step(self, loss: torch.Tensor, *, learning_rate: float, max_gradient_norm: float) -> torch.Tensor:
        """Clip the collected gradients by their global norm, update, round; return the norm, a tensor on the device.

        If it or the loss is not finite, this and all further steps change nothing. Whether that is so is decided on the
        device: the host need not wait for it.
        """
        gradients = self.gradients.reduce()
        norm = torch.nn.utils.get_total_norm(gradients)
        self.failed.logical_or_(~(norm.isfinite() & loss.isfinite()))
        clip = torch.clamp(max_gradient_norm / (norm + 1e-6), max=1.0)  # as torch.nn.utils.clip_grads_with_norm_
        for group, multiplier in enumerate(self.lr_multipliers):
            master, gradient = self.masters[group], gradients[group]
            gradient.mul_(clip)
            adamw(
                [master], [gradient], [self.exp_avgs[group]], [self.exp_avg_sqs[group]], [], [self.step_count.clone()],
                fused=True, amsgrad=False, maximize=False, beta1=BETAS[0], beta2=BETAS[1], eps=EPSILON,
                lr=learning_rate * multiplier, weight_decay=self.weight_decays[group], found_inf=self.failed,
            )  # fmt: skip
            if self.working[group].dtype != master.dtype:
                self.working[group].copy_(master)
        self.step_count += 1 - self.failed
        self.gradients.clear()
        self._sync_embedding()
        return norm

    def average(self, step: int) -> None:
        """Add the masters after the step of this number, counted from 1, to their mean, which takes every fourth."""
        if self.averages and step % AVERAGED_EVERY == 0:
            number = step // AVERAGED_EVERY
            for average, master in zip(self.averages, self.masters, strict=True):
                average.lerp_(master, (1 + AVERAGING_POWER) / (number + AVERAGING_POWER))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While active, masters and model are the mean over the steps, if there is one; no step may be taken."""
        if not self.averages or self.step_count < AVERAGED_EVERY:
            yield
            return
        last = [master.clone() for master in self.masters]
        self._set_masters(self.averages)
        try:
            yield
        finally:
            self._set_masters(last)

    def _set_masters(self, values: list[torch.Tensor]) -> None:
        for master, value in zip(self.masters, values, strict=True):
            master.copy_(value)
        self.sync_model()

    def snapshot(self) -> list[torch.Tensor]:
        """A copy of the flat masters, on the CPU."""
        return [master.detach().to("cpu", copy=True) for master in self.masters]

    def state(self) -> dict[str, torch.Tensor]:
        """Masters, their mean, moments and step count by name, not copied."""
        kinds = {
            "masters": self.masters,
            "averages": self.averages,
            "exp_avg": self.exp_avgs,
            "exp_avg_sq": self.exp_avg_sqs,
        }
        flat = {f"{kind}.{number}": values for kind, group in kinds.items() for number, values in enumerate(group)}
        return {**flat, "step": self.step_count}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Load a `state`; ValueError, with nothing changed, if it is that of another model."""
        mine = self.state()
        if {name: value.shape for name, value in mine.items()} != {name: state[name].shape for name in state}:
            raise ValueError("it holds the weights of another model")
        for name, value in mine.items():
            value.copy_(state[name])
        self.sync_model()

    def by_name(self, masters: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Convert flat masters, such as a `snapshot`, to the trained weights in fp32 on the CPU, with all rows."""
        weights = {slot.name: slot.of(masters) for slot in self.slots}
        if self._embedding_slot is not None and self._pretrained_embedding is not None:
            rows = weights[self._embedding_slot.name]
            weights[self._embedding_slot.name] = self._pretrained_embedding.clone()
            weights[self._embedding_slot.name][self.vocabulary.cpu()] = rows
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
        if self._embedding_slot is not None:
            self.embedding.weight.index_copy_(0, self.vocabulary, self._embedding_slot.of(self.working))


def find_vocabulary(model: PreTrainedModel, input_ids: npt.NDArray[np.int32]) -> torch.Tensor:
    """The ids whose embeddings get a gradient: of the tokens that occur, or all where the outputs are tied to them."""
    if has_tied_outputs(model):
        return torch.arange(cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings)
    return torch.from_numpy(np.unique(input_ids)).long()


def has_tied_outputs(model: PreTrainedModel) -> bool:
    """Whether the last layer of the head has the token embeddings as its weights."""
    outputs, inputs = model.get_output_embeddings(), cast(torch.nn.Embedding, model.get_input_embeddings())
    return outputs is not None and outputs.weight is inputs.weight


def _lr_multipliers(
    model: PreTrainedModel, *, layerwise_lr_decay: float, head_lr_multiplier: float
) -> dict[str, float]:
    """The learning rate multiplier of each parameter: that of the head, or 1 decayed for each layer below it.

    That of an adapter is multiplied by the adapter's own.
    """
    top = count_layers(model)
    adapters = {
        f"{name}.{matrix}": layer.lr_multiplier
        for name, layer in find_adapters(model).items()
        for matrix in ("lora_A", "lora_B")
    }
    return {
        name: layerwise_lr_decay ** (0 if number is None else top - number) * adapters.get(name, 1.0)
        if is_of_encoder(name, model)
        else head_lr_multiplier
        for name, number in number_layers(model).items()
    }
