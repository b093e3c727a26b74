"""What the engine asks of a task: the answers of some rows, a loss, and scores on dev.

A model gives logits for its outputs. An output is a labelled token, or a row: then its logits are those of the mean of
some of its tokens' final hidden states. The head is linear, so these are the mean of the tokens' logits.

Shape legend: N tokens of the packed rows, L of them with hidden states that the head reads, O outputs, C labels, K of
them that a parent knows (see stages/continual/).
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import Manifest, Outputs
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute

TEMPERATURE = 2.0  # of the distributions that are to be near each other, as Li & Hoiem (2016) have it

Rows = npt.NDArray[np.int64]


class Split(Protocol):
    """An encoded split, with rows of tokens of any length; row i is `input_ids[offsets[i]:offsets[i + 1]]`."""

    @property
    def offsets(self) -> npt.NDArray[np.int32]:
        """[R + 1] the first token of each row, and the number of tokens."""

    @property
    def input_ids(self) -> npt.NDArray[np.int32]:
        """The tokens of all rows."""

    @property
    def second(self) -> npt.NDArray[np.int32] | None:
        """[R] the place in its row of the first token of a second text, or -1; None if no row has one."""

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """[R] the number of tokens of each row."""

    def outputs(self, rows: Rows, index_N: npt.NDArray[np.int64], /) -> Outputs:
        """The outputs of rows whose tokens are `input_ids[index_N]`, one row after another."""

    def weight(self, rows: Rows, index_N: npt.NDArray[np.int64], /) -> float:
        """What the summed loss of these rows is divided by: the number of their answers, or the sum of weights."""

    def describe(self, rows: Rows) -> dict[int, str]:
        """The beginning of each example that these rows belong to, by its number from 0, for a message."""


@runtime_checkable
class ChangingSplit(Protocol):
    """A split that is another one in each step of a training run, as where tokens are masked at random."""

    def at_step(self, seed: int, index: int) -> Split:
        """The split in the step of this index, from 0; the same rows of the same lengths. It follows from the two."""


def split_at(split: Split, seed: int, index: int) -> Split:
    """The split as a training run with this seed reads it in the step of this index."""
    return split.at_step(seed, index) if isinstance(split, ChangingSplit) else split


class Head(Protocol):
    """The loss of a training run."""

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The loss summed over the outputs; the engine divides it by the `weight` of the whole batch."""


@runtime_checkable
class DistillableHead(Head, Protocol):
    """A head that also says how far the model is from the answers of its parent; see stages/continual/."""

    def retain(
        self,
        logits_OC: torch.Tensor,
        parent_OK: torch.Tensor,
        known_K: torch.Tensor,
        answers: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """How far the answers are from those of the parent, whose logits are for the labels `known_K` of the model.

        Summed over the outputs as the loss is; an output that counts for nothing there counts for nothing here.
        """


def soft_cross_entropy(logits_OK: torch.Tensor, parent_OK: torch.Tensor) -> torch.Tensor:
    """[O] the cross entropy of two distributions, both softened by TEMPERATURE, times its square.

    The square keeps gradients as large as without a temperature (Hinton et al., 2015).
    """
    target_OK = (parent_OK / TEMPERATURE).softmax(1)
    return TEMPERATURE**2 * functional.cross_entropy(logits_OK / TEMPERATURE, target_OK, reduction="none")


@runtime_checkable
class JudgingHead(Head, Protocol):
    """A head that also says how far the model agrees with the answers that it is trained on; see stages/dynamics/."""

    @property
    def judged(self) -> int:
        """How many values `judge` has for an output."""

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """[O, judged] the confidence in the given answer, and what is likely if it is wrong, all in fp32.

        The larger the confidence, the better the answer fits. Nothing here waits for the device.
        """


def judge_labels(logits_OC: torch.Tensor, label_O: torch.Tensor) -> torch.Tensor:
    """[O, 2] the probability of the given label, and the id of the most probable one among the others."""
    # By a mask: an output that counts for nothing may have a label that is no index.
    is_given_OC = torch.arange(logits_OC.shape[1], device=logits_OC.device) == label_O[:, None]
    confidence_O = (logits_OC.softmax(1) * is_given_OC).sum(1)
    likely_O = logits_OC.masked_fill(is_given_OC, -torch.inf).argmax(1)
    return torch.stack([confidence_O, likely_O.float()], 1)


class TaskModel(Protocol):
    """The part `model.head` of a task. `task` is the section of params.yaml, with the fields of the task.

    A task whose model is no token classifier also has a function `load_model`, as `load_classifier` is.
    """

    def read_split(self, folder: Path, split: str, manifest: Manifest, task: Any) -> Any:
        """Map an encoded split into memory, a `Split`; ArtifactError if it is missing or damaged."""

    def make_head(
        self, model: PreTrainedModel, task: Any, manifest: Manifest, compute: Compute, *, label_smoothing: float
    ) -> Head:
        """The loss, with what it needs on the device; what it learns becomes a part of the model."""

    def predict(self, model: PreTrainedModel, split: Any, compute: Compute, *, batch_tokens: int) -> Any:
        """The logits of all outputs of a split; ArtifactError if the split is damaged."""

    def describe_score(self, score: float, task: Any) -> tuple[str, float]:
        """What the primary score is called, and a value that `score` returned as it is printed."""

    def score(self, predicted: Any, split: Any, manifest: Manifest, task: Any) -> float:
        """The primary score of what `predict` returned; higher is better, so that an error is negative."""

    def fit_decision(self, predicted: Any, split: Any, manifest: Manifest, task: Any) -> dict[str, Any]:
        """What is fitted on dev after training, such as the temperature, in types that JSON takes.

        A list in it has a value for each label, in their order.
        """


def load_model(
    task: TaskModel, folder: Path, *, labels: list[str] | None = None, dropout: float | None = None
) -> PreTrainedModel:
    """Load the model of a task in fp32; the arguments, and what is raised, are those of `load_classifier`."""
    load = getattr(task, "load_model", load_classifier)
    model: PreTrainedModel = load(folder, labels=labels, dropout=dropout)
    return model
