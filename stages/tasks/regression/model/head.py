"""The loss for numbers, and the score on dev.

Shape legend: R rows of a split, O of a batch, E examples, D targets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.encoding.files import Manifest
from stages.encoding.texts import read_texts
from stages.modeling.device import Compute
from stages.modeling.text_split import TextSplit, predict_examples
from stages.statistics.names import shorten_score
from stages.tasks.regression.model.inference import decide, read_numbers
from stages.tasks.regression.params import RegressionParams
from stages.tasks.regression.scores.metric import ERRORS, primary_measure

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NumberHead:
    """Mean squared error over the targets, which have a mean of 0 and a deviation of 1 in train."""

    targets: int = 1

    @property
    def judged(self) -> int:
        """The confidence, and a number for each target."""
        return 1 + self.targets

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over rows, each with its weight; `answers` are standardised targets and weights."""
        target_OD, weight_O = answers
        return ((logits_OC - target_OD).square().mean(1) * weight_O).sum()

    def retain(
        self,
        logits_OC: torch.Tensor,
        parent_OK: torch.Tensor,
        known_K: torch.Tensor,
        answers: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """The mean squared difference from the parent's numbers, whose standardisation is the same."""
        return ((logits_OC[:, known_K] - parent_OK).square().mean(1) * answers[1]).sum()

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """[O, 1 + D] the distance of the target that is furthest from its number, negative, and all outputs."""
        target_OD, _ = answers
        return torch.cat([-(logits_OC - target_OD).abs().amax(1, keepdim=True), logits_OC], 1)


def read_split(folder: Path, split: str, manifest: Manifest, task: RegressionParams) -> TextSplit:
    """Map an encoded split into memory; ArtifactError if it is missing or damaged."""
    texts, details = read_texts(folder, *manifest.files(split)), manifest.details
    numbers_ED = read_numbers(texts, len(manifest.labels))
    standard_ED = (numbers_ED - np.array(details["means"])) / np.array(details["deviations"])
    return TextSplit(texts, task.pooling, standard_ED.astype(np.float32)[texts.example])


def make_head(
    _: PreTrainedModel,
    __: Any,
    manifest: Manifest,
    ___: Compute,
    *,
    label_smoothing: float,  # noqa: ARG001 - of labels
) -> NumberHead:
    """The loss."""
    return NumberHead(len(manifest.labels))


def predict(model: PreTrainedModel, split: TextSplit, compute: Compute, *, batch_tokens: int) -> Floats:
    """[E, D] the standardised numbers of every text."""
    return predict_examples(model, split, compute, batch_tokens=batch_tokens)


def describe_score(score: float, task: RegressionParams) -> tuple[str, float]:
    """The name of the primary score, such as `Pearson`, and its value; that of an error is positive again."""
    return shorten_score(task.primary), -score if task.primary in ERRORS else score


def score(predicted: Floats, split: TextSplit, manifest: Manifest, task: RegressionParams) -> float:
    """The primary score; an error is negative."""
    predictions = decide(predicted, split.texts, manifest.labels, manifest.details)
    measure = primary_measure(predictions, task.primary)
    return measure.sign * measure.value


def fit_decision(_: Floats, __: TextSplit, manifest: Manifest, ___: RegressionParams) -> dict[str, Any]:
    """What turns the model's outputs into the user's unit: mean and standard deviation of each target in train."""
    return {"means": manifest.details["means"], "deviations": manifest.details["deviations"]}
