"""The Hugging Face Trainer, tuned: bf16, fused AdamW, rows grouped by length.

Where `accelerate` is missing, which the Trainer needs, a loop that does what the Trainer does stands in for it.
"""

import copy
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED
from tests.benchmarks.measures import Rows
from tests.gpu.workload import SETTINGS, Target

POOL_BATCHES = 50  # that the Trainer sorts by length at once
WARM_UP = 20  # steps before the clock starts: memory is allocated, kernels are loaded, shapes come up again
EPOCHS = 10  # of which a measurement sees the beginning


@dataclass
class Collator:
    """Pads rows to the longest of them, and notes how many real tokens each batch has."""

    tokens: list[int] = field(default_factory=list)

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        lengths = [len(row["input_ids"]) for row in rows]
        ids_BT = np.zeros((len(rows), max(lengths)), dtype=np.int64)
        labels_BT = np.full(ids_BT.shape, IGNORED)
        for place, row in enumerate(rows):
            ids_BT[place, : lengths[place]] = row["input_ids"]
            labels_BT[place, : lengths[place]] = row["labels"]
        self.tokens.append(sum(lengths))
        real_BT = np.arange(ids_BT.shape[1]) < np.array(lengths)[:, None]
        arrays = {"input_ids": ids_BT, "attention_mask": real_BT.astype(np.int64), "labels": labels_BT}
        return {name: torch.from_numpy(values) for name, values in arrays.items()}


@dataclass
class Clock:
    """Times the steps of a peer after the warm-up, until `seconds` or its steps have passed."""

    target: Target
    collator: Collator
    seconds: float
    steps: int = 0
    started: float = 0.0
    elapsed: float = 0.0

    def tick(self) -> bool:
        """After a step: whether to stop."""
        self.steps += 1
        if self.steps == WARM_UP:
            self.target.synchronize()
            self.started = time.perf_counter()
        return (self.steps > WARM_UP and time.perf_counter() - self.started > self.seconds) or self.target.left < 0

    def speed(self) -> float | None:
        """Real tokens a second; None if it got no further than the warm-up."""
        self.target.synchronize()
        if self.steps <= WARM_UP:
            return None
        return sum(self.collator.tokens[WARM_UP : self.steps]) / (time.perf_counter() - self.started)


def peer_name() -> str:
    """Which peer `peer_speed` measures."""
    return "Trainer" if find_spec("accelerate") else "a loop as the Trainer's (accelerate is missing)"


def peer_speed(
    target: Target, rows: Rows, model: PreTrainedModel, *, batch: int, compiled: bool, seconds: float
) -> float | None:
    """Real tokens a second of the peer with `batch` rows a batch; it trains a copy of the model."""
    model = copy.deepcopy(model)
    model.set_attn_implementation("sdpa")
    collator = Collator()
    clock = Clock(target, collator, seconds)
    train = _train_with_trainer if find_spec("accelerate") else _train_as_trainer
    torch.use_deterministic_algorithms(False)  # the peer promises no bytes, and need not pay for them
    try:
        train(model, rows, clock, batch, compiled)
    finally:
        torch.use_deterministic_algorithms(True)
    return clock.speed()


def _train_with_trainer(model: PreTrainedModel, rows: Rows, clock: Clock, batch: int, compiled: bool) -> None:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Tick(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **known: Any) -> None:  # noqa: ARG002  # by name
            control.should_training_stop = clock.tick()

    with tempfile.TemporaryDirectory(dir=clock.target.folder) as folder:
        arguments = TrainingArguments(
            output_dir=folder, save_strategy="no", report_to="none", disable_tqdm=True, logging_strategy="no",
            use_cpu=not clock.target.is_cuda, seed=SETTINGS.seed, num_train_epochs=EPOCHS, bf16=True,
            optim="adamw_torch_fused", per_device_train_batch_size=batch, torch_compile=compiled,
            train_sampling_strategy="group_by_length", learning_rate=SETTINGS.learning_rate,
            dataloader_pin_memory=clock.target.is_cuda,
        )  # fmt: skip
        Trainer(model, arguments, train_dataset=rows, data_collator=clock.collator, callbacks=[Tick()]).train()


def _train_as_trainer(model: PreTrainedModel, rows: Rows, clock: Clock, batch: int, compiled: bool) -> None:
    """Padded batches by length, autocast to bf16, the gradient clipped, fused AdamW, a linear schedule."""
    device = torch.device(clock.target.device)
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=SETTINGS.learning_rate, fused=True)
    steps = max(1, EPOCHS * len(rows) // batch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    forward = torch.compile(model) if compiled else model
    for chosen in chain.from_iterable(_batches_by_length(rows, batch, epoch) for epoch in range(EPOCHS)):
        tensors = clock.collator(chosen)
        if clock.target.is_cuda:
            tensors = {name: value.pin_memory() for name, value in tensors.items()}
        tensors = {name: value.to(device, non_blocking=True) for name, value in tensors.items()}
        with torch.autocast(device.type, torch.bfloat16):
            loss = forward(**tensors).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS.max_gradient_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if clock.tick():
            break


def _batches_by_length(rows: Rows, batch: int, epoch: int) -> Iterator[list[dict[str, list[int]]]]:
    """As `group_by_length` does: pools of rows in random order, each sorted by length."""
    order = np.random.default_rng([SETTINGS.seed, epoch]).permutation(len(rows)).tolist()
    for first in range(0, len(order), batch * POOL_BATCHES):
        pool = sorted(order[first : first + batch * POOL_BATCHES], key=lambda row: -len(rows[row]["input_ids"]))
        for start in range(0, len(pool), batch):
            yield [rows[row] for row in pool[start : start + batch]]
