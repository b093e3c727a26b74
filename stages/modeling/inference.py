"""The logits of a whole split, batch after batch, without gradients."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.modeling.batches import Rows, sorted_rows
from stages.modeling.device import Compute
from stages.modeling.encoder import label_logits, pack
from stages.modeling.head import Split

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


def average_examples(
    logits_RC: Float32s, example_R: npt.NDArray[np.int32], weight_R: Float32s
) -> npt.NDArray[np.float64]:
    """[E, C] the mean of the logits of each example's rows by their weights, summed in the order of the rows."""
    logits_EC = np.zeros((int(example_R[-1]) + 1 if len(example_R) else 0, logits_RC.shape[1]))
    np.add.at(logits_EC, example_R, logits_RC.astype(np.float64) * weight_R[:, None])
    return logits_EC
