"""The loss of a tagger, its score on dev, and the temperature that calibrates it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding import files
from stages.encoding.files import EncodedSplit, Manifest
from stages.modeling.device import Compute
from stages.statistics.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, softmax
from stages.tasks.token_classification.model.inference import WordLogits, predict_logits
from stages.tasks.token_classification.scores.entities import Tagging, strict_f1
from stages.tasks.token_classification.scores.mistakes import entity_scores

SMALLEST = 1e-7  # probability; an fp32 sum may be 1 or above


@dataclass(frozen=True)
class TagHead:
    """Cross entropy with one tag a word."""

    label_smoothing: float

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over the words; `answers` are label ids."""
        (label_O,) = answers
        return functional.cross_entropy(logits_OC, label_O, reduction="sum", label_smoothing=self.label_smoothing)


def read_split(folder: Path, split: str, _: Manifest, __: Any) -> EncodedSplit:
    """Map an encoded split into memory; ArtifactError if it is missing or damaged."""
    return files.read_split(folder, split)


def make_head(_: Any, __: Manifest, ___: Compute, *, label_smoothing: float) -> TagHead:
    """The loss."""
    return TagHead(label_smoothing)


def predict(model: PreTrainedModel, split: EncodedSplit, compute: Compute, *, batch_tokens: int) -> WordLogits:
    """The logits of every word; ArtifactError unless exactly one window owns each."""
    return predict_logits(model, split, compute, batch_tokens=batch_tokens)


def describe_score(score: float, _: Any) -> tuple[str, float]:
    """Entity F1, strict and micro."""
    return "F1", score


def score(predicted: WordLogits, split: EncodedSplit, manifest: Manifest, _: Any) -> float:
    """Entity F1 (strict, micro)."""
    tagged = (
        Tagging(ids_W, split.word_bounds, tuple(manifest.labels)) for ids_W in (predicted.gold_W, predicted.predicted_W)
    )
    return strict_f1(*tagged)


def fit_decision(predicted: WordLogits, split: EncodedSplit, manifest: Manifest, _: Any) -> dict[str, Any]:
    """The temperature of the probabilities of tags (Guo et al., 2017).

    It gives the scores of the predicted entities the least binary cross entropy. One that is fitted to all words is
    that of O, which is most of them.
    """
    from scipy.optimize import minimize_scalar  # not needed where a GPU is proved, see tests/gpu

    gold, tagged = (
        Tagging(ids_W, split.word_bounds, tuple(manifest.labels)) for ids_W in (predicted.gold_W, predicted.predicted_W)
    )
    entities = tagged.entities(strict=True)
    correct_E = entities.is_in(gold.entities(strict=True))
    if correct_E.all() or not correct_E.any():
        return {"temperature": 1.0}
    words = np.arange(len(predicted.predicted_W))

    def cross_entropy(temperature: float) -> float:
        probability_W = softmax(predicted.logits_WC, temperature)[words, predicted.predicted_W]
        score_E = entity_scores(entities, probability_W).clip(SMALLEST, 1 - SMALLEST)
        return float(-np.log(np.where(correct_E, score_E, 1 - score_E)).mean())

    found = minimize_scalar(cross_entropy, bounds=(MIN_TEMPERATURE, MAX_TEMPERATURE), method="bounded")
    return {"temperature": float(found.x)}
