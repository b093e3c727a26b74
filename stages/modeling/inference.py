"""The logits of a whole split, or its states after the frozen layers, batch after batch, without gradients."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.adaptation.states import FrozenStates, keep_states
from stages.adaptation.weights import count_frozen_layers, count_layers
from stages.modeling.batches import Rows, sorted_rows, token_indices
from stages.modeling.device import Compute
from stages.modeling.encoder import can_keep_states, frozen_states, label_logits, pack
from stages.modeling.head import ChangingSplit, Split

COUNTED_ROWS = 4096  # at once: the answers of chains are as long as the longest of these
MAX_STATES = 2**32  # bytes of kept states of a split: with MiniLM in bf16 those of 5 million tokens

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Copy:
    """The logits of a batch on their way from the device; there may be more than outputs (see `pack`)."""

    rows: Rows
    outputs: int
    logits_OC: torch.Tensor
    arrived: torch.cuda.Event | None  # None on a CPU

    @classmethod
    def begin(cls, rows: Rows, outputs: int, logits_OC: torch.Tensor) -> "_Copy":
        """Start copying to pinned memory, without waiting for the device."""
        host_OC = logits_OC.float().to("cpu", non_blocking=True)
        arrived = torch.cuda.current_stream().record_event() if logits_OC.is_cuda else None
        return cls(rows, outputs, host_OC, arrived)

    def wait(self) -> tuple[Rows, Float32s]:
        """The rows and the logits of their outputs."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.rows, self.logits_OC[: self.outputs].numpy()


def each_batch(
    model: PreTrainedModel, split: Split, compute: Compute, *, batch_tokens: int
) -> Iterator[tuple[Rows, Float32s]]:
    """Yield rows, every row once, and the logits [O, C] of their outputs in order.

    A batch is read when the next one has been queued, so that the device need not wait.
    """
    queued: _Copy | None = None
    for rows in sorted_rows(split.lengths, budget=batch_tokens):
        batch = pack(model, split, rows, slice(None), compute)
        with torch.inference_mode():
            copy = _Copy.begin(rows, batch.outputs, label_logits(model, batch.to(compute.device)))
        if queued is not None:
            yield queued.wait()
        queued = copy
    if queued is not None:
        yield queued.wait()


def keep_frozen_states(model: PreTrainedModel, split: Split, compute: Compute, *, batch_tokens: int) -> None:
    """Compute the states of a split after the frozen layers and keep them with the model, which then starts there.

    Nothing happens if no layer is frozen, and none are kept for an encoder that is not BERT-like, of a split that
    changes from step to step, or of more than MAX_STATES: each step computes its own. Whether they are kept follows
    from model and split alone, since it may round differently.
    """
    if not can_keep_states(model) or isinstance(split, ChangingSplit):
        return
    counts_R = count_outputs(split) if count_frozen_layers(model) == count_layers(model) else split.lengths
    first_R = np.append(0, np.cumsum(counts_R, dtype=np.int64))
    shape = (int(first_R[-1]), model.config.hidden_size)
    if math.prod(shape) * compute.dtype.itemsize > MAX_STATES:
        return
    states = FrozenStates(split, first_R, torch.empty(shape, dtype=compute.dtype))
    for rows in sorted_rows(split.lengths, budget=batch_tokens):
        batch = pack(model, split, rows, slice(None), compute)
        index_N = states.index(rows)
        with torch.no_grad():
            states.states_ND[index_N] = frozen_states(model, batch.to(compute.device))[: len(index_N)].cpu()
    keep_states(model, states)


def count_outputs(split: Split) -> npt.NDArray[np.int64]:
    """[R] how many outputs each row has."""
    every = np.arange(len(split.lengths))
    parts = np.array_split(every, -(-len(every) // COUNTED_ROWS))
    return np.concatenate([_count_of_rows(split, rows) for rows in parts])


def _count_of_rows(split: Split, rows: Rows) -> npt.NDArray[np.int64]:
    outputs = split.outputs(rows, token_indices(split, rows)[1])
    if outputs.row_L is not None:
        return np.ones(len(rows), np.int64)
    row_L = np.searchsorted(np.cumsum(split.lengths[rows]), outputs.places_L, side="right")
    return np.bincount(row_L, minlength=len(rows))


def average_examples(
    logits_RC: Float32s, example_R: npt.NDArray[np.int32], weight_R: Float32s
) -> npt.NDArray[np.float64]:
    """[E, C] the mean of the logits of each example's rows by their weights, summed in the order of the rows."""
    logits_EC = np.zeros((int(example_R[-1]) + 1 if len(example_R) else 0, logits_RC.shape[1]))
    np.add.at(logits_EC, example_R, logits_RC.astype(np.float64) * weight_R[:, None])
    return logits_EC
