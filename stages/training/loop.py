"""The training loop: a generator that yields after each optimizer step and writes nothing.

A step depends on its number, the weights and the moments of the optimizer, and on nothing else: the batches of each
epoch, and the dropout masks and masked tokens of each step, are drawn from the seed. So a training run can resume after
any step.

Nothing in a step waits for the device. Its loss and gradient norm stay there until `PendingStep.read`, which a caller
may put off until the next step has been queued. While a GPU computes, a thread packs the batches of the next steps.
"""

import logging
import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from stages.dynamics.recorder import Recorder
from stages.errors import TrainingError
from stages.modeling.batches import Rows, choose_rows, shuffled_rows
from stages.modeling.device import Compute
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits, pack
from stages.modeling.head import Head, Split
from stages.training.distributed import SINGLE_PROCESS, World
from stages.training.history import Step
from stages.training.optimizer import MasterWeights
from stages.training.prefetch import PackedStep, PackedSteps, packs_ahead
from stages.training.schedule import Schedule, lr_multiplier

SHOWN_EXAMPLES = 5

log = logging.getLogger("train")


@dataclass(frozen=True)
class Settings:
    """What decides the outcome of a training run, apart from data and pretrained weights."""

    seed: int
    epochs: int
    min_steps: int  # more epochs if these have fewer steps
    learning_rate: float
    schedule: Schedule
    warmup_ratio: float
    max_gradient_norm: float
    batch_tokens: int
    micro_batch_tokens: int  # of a batch, how many are computed at once, at most; 0: all
    old_rows: int = 0  # how many of the rows, the last ones, are old examples
    old_share: float = 0.0  # of the rows of an epoch, that are drawn from these


@dataclass(frozen=True)
class PendingStep:
    """A step whose loss and gradient norm may still be being computed; the other fields are those of `Step`."""

    step: int
    steps: int
    epoch: int
    epochs: int
    ends_epoch: bool
    learning_rate: float
    tokens: int
    weight: float
    results: torch.Tensor  # [2] loss and gradient norm, in fp64
    split: Split
    rows: Rows

    def read(self) -> Step:
        """Wait for the device and return the step; TrainingError if its loss or the gradient is not finite."""
        loss, norm = self.results.tolist()
        for name, value in (("the loss", loss), ("the norm of the gradient", norm)):
            if not math.isfinite(value):
                raise TrainingError(_describe_divergence(self.split, self.rows, f"step {self.step}: {name} is {value}"))
        known = {name: value for name, value in vars(self).items() if name in Step.__dataclass_fields__}
        return Step(loss=loss, gradient_norm=norm, **known)


def train(
    model: PreTrainedModel,
    weights: MasterWeights,
    split: Split,
    settings: Settings,
    compute: Compute,
    *,
    head: Head,
    done: int = 0,
    world: World = SINGLE_PROCESS,
    recorder: Recorder | None = None,
) -> Generator[PendingStep, None, None]:
    """Train `model` in place from step `done` + 1 on, and yield each step; its thread ends with the generator.

    The caller may use the model between two steps. If memory runs out, the rest of the run computes smaller parts of a
    batch at once, which changes the result by rounding alone. After a step whose loss or gradient is not finite, the
    weights stay as they were before it, whatever further steps follow. A `recorder` with this head and plan keeps what
    the model thinks of each answer.
    """
    plan = plan_batches(split, settings)
    micro_batch_tokens = settings.micro_batch_tokens or int(max(split.lengths[rows].sum() for _, rows in plan))
    steps = PackedSteps(
        [rows for _, rows in plan],
        split,
        lambda own, rows, part: pack(model, own, rows, part, compute),
        seed=settings.seed,
        world=world,
        micro_batch_tokens=micro_batch_tokens,
        in_thread=packs_ahead(compute.device),
    )
    with steps, weights.gradients.collect(world):
        for index in range(done, len(plan)):
            epoch, rows = plan[index]
            if recorder is not None:
                recorder.begin_step(index)
            while True:
                try:
                    packed = steps.get(index)
                    loss = _backward(
                        model, weights, packed, settings, compute, head=head, index=index, recorder=recorder
                    )
                    break
                except (MemoryError, RuntimeError) as error:
                    if not _is_out_of_memory(error):
                        raise
                    micro_batch_tokens = _halve(micro_batch_tokens, steps.longest_row(index), step=index + 1)
                steps.repack(micro_batch_tokens)
                weights.gradients.restart()
            weights.gradients.reduce()  # before the loss: all processes reduce in the same order
            world.all_reduce([loss] if recorder is None else [loss, recorder.of_step(index)])
            learning_rate = settings.learning_rate * lr_multiplier(
                settings.schedule, index=index, steps=len(plan), warmup_ratio=settings.warmup_ratio
            )
            norm = weights.step(loss, learning_rate=learning_rate, max_gradient_norm=settings.max_gradient_norm)
            weights.average(index + 1)
            yield PendingStep(
                step=index + 1,
                steps=len(plan),
                epoch=epoch,
                epochs=plan[-1][0],
                ends_epoch=index + 1 == len(plan) or plan[index + 1][0] != epoch,
                learning_rate=learning_rate,
                tokens=int(split.lengths[rows].sum()),
                weight=packed.weight,
                results=torch.stack([loss, norm.double()]),
                split=split,
                rows=rows,
            )


def plan_batches(split: Split, settings: Settings) -> list[tuple[int, Rows]]:
    """The epoch, counted from 1, and the rows of each batch of a training run."""
    plan: list[tuple[int, Rows]] = []
    epoch = 0
    while epoch < settings.epochs or len(plan) < settings.min_steps:
        epoch += 1
        new = len(split.lengths) - settings.old_rows
        rows = choose_rows(new, settings.old_rows, share=settings.old_share, seed=settings.seed, epoch=epoch)
        batches = shuffled_rows(split.lengths, budget=settings.batch_tokens, seed=settings.seed, epoch=epoch, rows=rows)
        plan += ((epoch, rows) for rows in batches)
    return plan


def _backward(
    model: PreTrainedModel,
    weights: MasterWeights,
    packed: PackedStep,
    settings: Settings,
    compute: Compute,
    *,
    head: Head,
    index: int,
    recorder: Recorder | None,
) -> torch.Tensor:
    """Compute the loss and the gradients of this process's shard of a batch; return its share of the loss, in fp64."""
    loss = torch.zeros((), dtype=torch.float64, device=compute.device)
    for number, part in enumerate(packed.parts, start=1):
        batch = part.to(compute.device)
        logits_OC = label_logits(model, batch, Masks(settings.seed, index)).float()
        part_loss = head.loss(logits_OC, batch.answers) / packed.weight
        weights.gradients.begin_backward(is_last=number == len(packed.parts))
        part_loss.backward()
        loss += part_loss.detach()
        if recorder is not None:
            recorder.record(index, batch, logits_OC)
    return loss


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _halve(micro_batch_tokens: int, longest: int, *, step: int) -> int:
    """Halve the number of tokens that are computed at once; TrainingError if not even one window fits."""
    if micro_batch_tokens <= longest:
        raise TrainingError(
            f"step {step}: memory does not suffice for a single window of {longest} tokens. "
            "Choose a smaller tokenize.window_length or a smaller encoder."
        )
    log.warning(
        "warning: step %d: out of memory with %d tokens at once; continuing with half of them", step, micro_batch_tokens
    )
    return max(longest, micro_batch_tokens // 2)


def _describe_divergence(split: Split, rows: Rows, what: str) -> str:
    """The message that names the step and its examples."""
    examples = split.describe(rows)
    numbers = list(examples)
    lines = [f"{what}. Its examples, counted from 1 in the train split:"]
    lines += [f"  {number + 1}: {examples[number]}" for number in numbers[:SHOWN_EXAMPLES]]
    if len(numbers) > SHOWN_EXAMPLES:
        lines.append(f"  and {', '.join(str(number + 1) for number in numbers[SHOWN_EXAMPLES:])}")
    lines.append("A lower train.learning_rate, a longer train.warmup_ratio or train.precision=fp32 usually helps.")
    return "\n".join(lines)
