"""Records what the model thought of each answer in the step that trained on it: it costs no forward pass of its own.

An output is trained once in an epoch, before the weights have seen it in this epoch, and with dropout. Its values stay
on the device until the epoch ends. They are written there and never added, so a step that is computed again, since
memory ran out, leaves what it would have left at once.

Shape legend: O outputs of the split, in the order of its rows; K values of an output, see `JudgingHead`.
"""

from collections.abc import Sequence

import numpy as np
import torch

from stages.dynamics.files import Dynamics
from stages.encoding.windows import join_ranges
from stages.modeling.batches import Batch, Rows
from stages.modeling.head import JudgingHead, Split
from stages.modeling.inference import count_outputs

PREFIX = "dynamics."  # of its tensors in a checkpoint


class Recorder:
    """The values of the epochs that have ended, and those of the current one as far as it got.

    `plan` has the epoch, from 1, and the rows of each step of the training run (see `plan_batches`). Of the last
    `old_rows` rows each epoch has some alone, and of these there is no result.
    """

    def __init__(
        self,
        head: JudgingHead,
        split: Split,
        plan: Sequence[tuple[int, Rows]],
        *,
        old_rows: int = 0,
        device: torch.device,
    ) -> None:
        self._head = head
        self._counts_R = count_outputs(split)
        self._plan = plan
        self._new_outputs = int(self._counts_R[: len(self._counts_R) - old_rows].sum())
        self._places: list[slice] = []  # of the outputs of each step, among those of its epoch
        epoch_before, end = 0, 0
        for epoch, rows in plan:
            start = end if epoch == epoch_before else 0
            epoch_before, end = epoch, start + int(self._counts_R[rows].sum())
            self._places.append(slice(start, end))
        outputs = int(self._counts_R.sum())
        self.current_OK = torch.zeros((outputs, head.judged), device=device)  # in the order of the epoch's steps
        self.confidence_O = torch.zeros(outputs, dtype=torch.float64)  # summed over the epochs that have ended
        self.predicted_OK = torch.zeros((outputs, head.judged - 1))  # of the last of them
        self.epochs = torch.zeros((), dtype=torch.int64)

    def begin_step(self, index: int) -> None:
        """Forget the epoch before, if the step `index`, counted from 0, is the first of its own."""
        if self._places[index].start == 0:
            self.current_OK.zero_()  # several processes add up what each has computed

    def record(self, index: int, part: Batch, logits_OC: torch.Tensor) -> None:
        """Judge a part of the batch of step `index`; its logits may be more than its outputs (see `pack`)."""
        start = self._places[index].start + part.outputs_before
        judged_OK = self._head.judge(logits_OC.detach(), part.answers)
        self.current_OK[start : start + part.outputs] = judged_OK[: part.outputs]

    def of_step(self, index: int) -> torch.Tensor:
        """The values of all outputs of the step `index`, not copied; zeros for those of other processes."""
        return self.current_OK[self._places[index]]

    def end_epoch(self, epoch: int) -> None:
        """Take the values of an epoch over from the device, which is waited for, after its last step."""
        rows = np.concatenate([rows for number, rows in self._plan if number == epoch])
        first_R = np.cumsum(self._counts_R) - self._counts_R
        outputs, _ = join_ranges(first_R[rows], self._counts_R[rows])
        judged_OK = self.current_OK[: len(outputs)].cpu()
        self.confidence_O[outputs] += judged_OK[:, 0]
        self.predicted_OK[outputs] = judged_OK[:, 1:]
        self.epochs += 1

    def result(self) -> Dynamics:
        """What the epochs so far have shown of the rows that each of them has."""
        confidence_O = (self.confidence_O / self.epochs.clamp(min=1)).float()
        return Dynamics(confidence_O[: self._new_outputs].numpy(), self.predicted_OK[: self._new_outputs].numpy())

    def state(self) -> dict[str, torch.Tensor]:
        """All values by name, not copied: what a checkpoint needs."""
        return {
            f"{PREFIX}current": self.current_OK,
            f"{PREFIX}confidence": self.confidence_O,
            f"{PREFIX}predicted": self.predicted_OK,
            f"{PREFIX}epochs": self.epochs,
        }

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Load a `state` of the same training run."""
        for name, value in self.state().items():
            value.copy_(state[name])
