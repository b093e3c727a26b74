"""The loss over masked words, and the score on dev.

Shape legend: R windows of a split, O outputs, which are masked tokens, C tokens of the vocabulary.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED, Manifest
from stages.encoding.texts import read_texts
from stages.modeling.device import Compute
from stages.statistics.names import shorten_score
from stages.tasks.language_modeling.model.inference import Guesses, guess
from stages.tasks.language_modeling.model.loading import load_model as load_model  # noqa: PLC0414 - a part of this part
from stages.tasks.language_modeling.model.masks import Masking
from stages.tasks.language_modeling.model.split import MaskedTexts, mask_in_training, mask_texts
from stages.tasks.language_modeling.params import LanguageModelParams
from stages.tasks.language_modeling.scores.metric import PRIMARY


@dataclass(frozen=True)
class MaskedWordsHead:
    """Cross entropy."""

    label_smoothing: float

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over masked tokens; `answers` are the ids that stood there."""
        (gold_O,) = answers
        return functional.cross_entropy(
            logits_OC, gold_O, ignore_index=IGNORED, reduction="sum", label_smoothing=self.label_smoothing
        )


def read_split(folder: Path, split: str, manifest: Manifest, task: LanguageModelParams) -> MaskedTexts:
    """Map an encoded split into memory; ArtifactError if it is missing or damaged."""
    masking = masking_of(manifest, task.mask_share)
    return (mask_in_training if split == "train" else mask_texts)(read_texts(folder, *manifest.files(split)), masking)


def masking_of(manifest: Manifest, share: float) -> Masking:
    """How the windows of an encoded corpus are masked."""
    return Masking(share, manifest.details["mask_id"], manifest.details["vocabulary"])


def make_head(_: PreTrainedModel, __: Any, ___: Manifest, ____: Compute, *, label_smoothing: float) -> MaskedWordsHead:
    """The loss."""
    return MaskedWordsHead(label_smoothing)


def predict(model: PreTrainedModel, split: MaskedTexts, compute: Compute, *, batch_tokens: int) -> Guesses:
    """The surprisal of every masked token."""
    return guess(model, split, compute, batch_tokens=batch_tokens)


def describe_score(score: float, task: Any) -> tuple[str, float]:  # noqa: ARG001 - as of any task
    """The name of the primary score and its value, which is positive again."""
    return shorten_score(PRIMARY), -score


def score(predicted: Guesses, _: MaskedTexts, __: Manifest, ___: Any) -> float:
    """The mean surprisal in nats; negative, since it is an error."""
    return -float(predicted.nats_L.mean())


def fit_decision(_: Guesses, __: MaskedTexts, ___: Manifest, ____: Any) -> dict[str, Any]:
    """Nothing is fitted."""
    return {}
