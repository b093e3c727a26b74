"""Training that stays near what the parent predicts (see parent.py): Learning without Forgetting (Li & Hoiem, 2016).

The parent answers all training examples once, before the first step. Then the loss has a second term: how far the
model's answers, for what the parent knows, are from the parent's.

Shape legend: R rows of a split, Q outputs of all rows, O of a batch, C labels of the model, K of them that the parent
knows.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from stages.continual.parent import Parent
from stages.encoding.files import Outputs
from stages.encoding.windows import join_ranges
from stages.errors import ParamsError
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, move_to
from stages.modeling.head import DistillableHead, Head, JudgingHead, Rows, Split
from stages.modeling.inference import count_outputs, each_batch
from stages.training.distributed import World


@dataclass(frozen=True)
class TaughtSplit:
    """A split whose outputs have the parent's logits as one more answer, the last."""

    split: Split
    first_R: npt.NDArray[np.int64]  # [R + 1] the first output of each row, and Q
    parent_QK: npt.NDArray[np.float32]

    def outputs(self, rows: Rows, index_N: npt.NDArray[np.int64]) -> Outputs:
        """Those of the split, with the parent's logits; zeros where an output counts for nothing."""
        own = self.split.outputs(rows, index_N)
        places, _ = join_ranges(self.first_R[rows], self.first_R[rows + 1] - self.first_R[rows])
        return replace(own, answers=(*own.answers, self.parent_QK[places]), padding=(*own.padding, 0))

    def __getattr__(self, name: str) -> Any:
        """All else is the split's."""
        return getattr(self.split, name)


@dataclass(frozen=True)
class RetainingHead:
    """A head whose loss has, by this weight, the distance from the parent's answers."""

    head: DistillableHead
    weight: float
    known_K: torch.Tensor  # among the labels of the model those that the parent knows

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over the outputs; the last of `answers` are the parent's logits."""
        *own, parent_OK = answers
        distance = self.head.retain(logits_OC, parent_OK, self.known_K, tuple(own))
        return self.head.loss(logits_OC, tuple(own)) + self.weight * distance

    @property
    def judged(self) -> int:
        """That of the head; AttributeError if it does not judge."""
        return cast(JudgingHead, self.head).judged

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """That of the head."""
        return cast(JudgingHead, self.head).judge(logits_OC, answers[:-1])


def retain(
    head: Head,
    split: Split,
    parent: Parent,
    labels: list[str],
    compute: Compute,
    world: World,
    *,
    weight: float,
    batch_tokens: int,
) -> tuple[Head, Split]:
    """The head and the split of a training run that stays near its parent; `labels` are those of the model.

    ParamsError if the task has no such distance, as where other words are masked in each step.
    """
    if not isinstance(head, DistillableHead):
        raise ParamsError(
            f"train.retain is {weight:g}, but the task {parent.record.task} has no answers that a parent could give "
            "before training: tuneline run --set train.retain=0.0"
        )
    known = [label for label in labels if label in parent.labels]
    columns = [parent.labels.index(label) for label in known]
    first_R = np.append(0, np.cumsum(count_outputs(split), dtype=np.int64))
    parent_QK = np.zeros((int(first_R[-1]), len(known)), np.float32)
    if world.is_main_process:
        model = load_classifier(parent.folder)
        move_to(model, compute)
        for rows, logits_OC in each_batch(model, split, compute, batch_tokens=batch_tokens):
            places, _ = join_ranges(first_R[rows], first_R[rows + 1] - first_R[rows])
            parent_QK[places] = logits_OC[:, columns]
    world.broadcast_tensors([torch.from_numpy(parent_QK)])
    places_K = torch.tensor([labels.index(label) for label in known], device=compute.device)
    return RetainingHead(head, weight, places_K), TaughtSplit(split, first_R, parent_QK)
