"""Losses for labels of texts, the score on dev, and what is fitted there: a temperature, and thresholds.

Shape legend: R rows of a split, O of a batch, E examples, C labels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import Manifest
from stages.encoding.texts import EncodedTexts, read_texts
from stages.modeling.device import Compute
from stages.modeling.head import Head, judge_labels, soft_cross_entropy
from stages.modeling.text_split import TextSplit, predict_examples
from stages.statistics.calibration import fit_sigmoid_temperature, fit_softmax_temperature, sigmoid
from stages.statistics.names import shorten_score
from stages.tasks.text_classification.model.inference import decide, mark_labels
from stages.tasks.text_classification.params import ClassificationParams
from stages.tasks.text_classification.scores.metric import primary_measure
from stages.tasks.text_classification.scores.thresholds import choose_thresholds

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SingleLabelHead:
    """Cross entropy with one label a text; `class_weight_C` multiplies the loss of the texts of a class."""

    label_smoothing: float
    class_weight_C: torch.Tensor | None
    judged: int = 2

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over rows, each with its weight; `answers` are label ids and weights."""
        label_O, weight_O = answers
        loss_O = functional.cross_entropy(
            logits_OC, label_O, weight=self.class_weight_C, reduction="none", label_smoothing=self.label_smoothing
        )
        return (loss_O * weight_O).sum()

    def retain(
        self,
        logits_OC: torch.Tensor,
        parent_OK: torch.Tensor,
        known_K: torch.Tensor,
        answers: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """The cross entropy of the labels that the parent knows, summed over rows with their weights."""
        return (soft_cross_entropy(logits_OC[:, known_K], parent_OK) * answers[1]).sum()

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """[O, 2] the probability of the given label, and the most probable one beside it."""
        return judge_labels(logits_OC, answers[0])


@dataclass(frozen=True)
class MultiLabelHead:
    """Binary cross entropy, the mean over the labels; smoothing moves each target towards one half."""

    label_smoothing: float
    judged: int = 2

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over rows, each with its weight; `answers` are 0 or 1 for each label, and weights."""
        target_OC, weight_O = answers
        smoothed_OC = target_OC * (1 - self.label_smoothing) + self.label_smoothing / 2
        loss_OC = functional.binary_cross_entropy_with_logits(logits_OC, smoothed_OC, reduction="none")
        return (loss_OC.mean(1) * weight_O).sum()

    def retain(
        self,
        logits_OC: torch.Tensor,
        parent_OK: torch.Tensor,
        known_K: torch.Tensor,
        answers: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """The binary cross entropy, the mean over the labels that the parent knows."""
        loss_OK = functional.binary_cross_entropy_with_logits(
            logits_OC[:, known_K], parent_OK.sigmoid(), reduction="none"
        )
        return (loss_OK.mean(1) * answers[1]).sum()

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """[O, 2] the least probability that a label is as given, whether it is or is not, and the id of that label."""
        target_OC, _ = answers
        confidence_OC = torch.where(target_OC > 0, logits_OC, -logits_OC).sigmoid()
        confidence_O, label_O = confidence_OC.min(1)
        return torch.stack([confidence_O, label_O.float()], 1)


def read_split(folder: Path, split: str, manifest: Manifest, task: ClassificationParams) -> TextSplit:
    """Map an encoded split into memory; ArtifactError if it is missing or damaged."""
    texts = read_texts(folder, *manifest.files(split))
    gold_EC = mark_labels(texts, len(manifest.labels))
    answers_E = gold_EC.astype(np.float32) if task.multi_label else gold_EC.argmax(1)
    return TextSplit(texts, task.pooling, answers_E[texts.example])


def make_head(
    _: PreTrainedModel, task: ClassificationParams, manifest: Manifest, compute: Compute, *, label_smoothing: float
) -> Head:
    """The loss; balanced class weights are the inverse frequencies in train, with a mean of 1 over its texts."""
    if task.multi_label:
        return MultiLabelHead(label_smoothing)
    if task.class_weights == "none":
        return SingleLabelHead(label_smoothing, None)
    counts_C = np.array([manifest.details["label_counts"][label] for label in manifest.labels], np.float64)
    weight_C = counts_C.sum() / (len(counts_C) * np.maximum(counts_C, 1))  # a label of a parent may have no example
    return SingleLabelHead(label_smoothing, torch.from_numpy(weight_C.astype(np.float32)).to(compute.device))


def predict(model: PreTrainedModel, split: TextSplit, compute: Compute, *, batch_tokens: int) -> Floats:
    """[E, C] the logits of every text."""
    return predict_examples(model, split, compute, batch_tokens=batch_tokens)


def describe_score(score: float, task: ClassificationParams) -> tuple[str, float]:
    """The name of the primary score, such as `macro F1`, and its value."""
    return shorten_score(task.primary), score


def score(predicted: Floats, split: TextSplit, manifest: Manifest, task: ClassificationParams) -> float:
    """The primary score; with several labels a text, at the thresholds that are best on these texts."""
    decision = {"temperature": 1.0, "thresholds": _thresholds(predicted, split.texts, task, temperature=1.0)}
    return primary_measure(decide(predicted, split.texts, manifest.labels, decision), task.primary).value


def fit_decision(predicted: Floats, split: TextSplit, _: Manifest, task: ClassificationParams) -> dict[str, Any]:
    """The temperature of the probabilities (Guo et al., 2017), and thresholds if a text may have several labels."""
    gold_EC = mark_labels(split.texts, predicted.shape[1])
    if task.multi_label:
        temperature = fit_sigmoid_temperature(predicted, gold_EC)
    else:
        temperature = fit_softmax_temperature(predicted, gold_EC.argmax(1))
    return {
        "temperature": temperature,
        "thresholds": _thresholds(predicted, split.texts, task, temperature=temperature),
    }


def _thresholds(
    logits_EC: Floats, texts: EncodedTexts, task: ClassificationParams, *, temperature: float
) -> list[float] | None:
    if not task.multi_label:
        return None
    gold_EC = mark_labels(texts, logits_EC.shape[1])
    return list(choose_thresholds(sigmoid(logits_EC, temperature), gold_EC, per_label=task.thresholds == "per_label"))
