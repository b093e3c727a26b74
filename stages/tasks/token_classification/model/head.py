"""The losses of a tagger, its score on dev, and the temperature that calibrates it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding import files
from stages.encoding.files import EncodedSplit, Manifest
from stages.modeling.classifier import add_crf, crf_of, drop_crf, labels_of
from stages.modeling.device import Compute
from stages.modeling.head import Head, judge_labels, soft_cross_entropy
from stages.modeling.heads.crf import Chains, Crf, Potentials, negative_log_likelihood
from stages.statistics.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE
from stages.tasks.token_classification.model.chains import ChainedSplit
from stages.tasks.token_classification.model.decoding import iob2_potentials
from stages.tasks.token_classification.model.inference import WordLogits, predict_logits
from stages.tasks.token_classification.scores.entities import Tagging, strict_f1
from stages.tasks.token_classification.scores.mistakes import entity_scores

if TYPE_CHECKING:  # by pydantic, which a GPU machine need not have, see tests/gpu
    from stages.tasks.token_classification.params import TaggingParams

SMALLEST = 1e-7  # probability; an fp32 sum may be 1 or above


class RetainingTags:
    """What both losses do to stay near a parent."""

    def retain(
        self,
        logits_OC: torch.Tensor,
        parent_OK: torch.Tensor,
        known_K: torch.Tensor,
        answers: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """The cross entropy of the tags that the parent knows, summed over the words."""
        distance_O = soft_cross_entropy(logits_OC[:, known_K], parent_OK)
        return (distance_O * (answers[0] != files.IGNORED)).sum()


@dataclass(frozen=True)
class TagHead(RetainingTags):
    """Cross entropy with one tag a word."""

    label_smoothing: float
    judged: int = 2

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over the words; `answers` are label ids."""
        (label_O,) = answers
        return functional.cross_entropy(logits_OC, label_O, reduction="sum", label_smoothing=self.label_smoothing)

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """[O, 2] the probability of the given tag of each word, and the most probable one beside it."""
        return judge_labels(logits_OC, answers[0])


@dataclass(frozen=True)
class CrfHead(RetainingTags):
    """The negative log likelihood of the tags of each chain (see chains.py), among the sequences that IOB2 allows."""

    crf: Crf
    allowed: Potentials
    judged: int = 2

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over the chains; `answers` are label ids and the fields of `Chains`."""
        label_O, *chains = answers
        return negative_log_likelihood(logits_OC, label_O, Chains(*chains), self.crf(self.allowed))

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """As `TagHead`, by the logits alone: marginals would take another pass over the chains, and its backward."""
        return judge_labels(logits_OC, answers[0])


def read_split(folder: Path, split: str, manifest: Manifest, task: "TaggingParams") -> EncodedSplit:
    """Map an encoded split into memory; ArtifactError if it is missing or damaged."""
    found = files.read_split(folder, *manifest.files(split))
    return ChainedSplit.of(found) if task.head == "crf" else found


def make_head(
    model: PreTrainedModel, task: "TaggingParams", _: Manifest, compute: Compute, *, label_smoothing: float
) -> Head:
    """The loss; a CRF becomes a part of the model, unless it has one. It has no label smoothing, see params.py."""
    if task.head == "linear":
        drop_crf(model)
        return TagHead(label_smoothing)
    allowed = iob2_potentials(labels_of(model))
    return CrfHead(crf_of(model) or add_crf(model), allowed.map(lambda values: values.to(compute.device)))


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

    def cross_entropy(temperature: float) -> float:
        score_E = entity_scores(entities, predicted.probability_W(temperature)).clip(SMALLEST, 1 - SMALLEST)
        return float(-np.log(np.where(correct_E, score_E, 1 - score_E)).mean())

    found = minimize_scalar(cross_entropy, bounds=(MIN_TEMPERATURE, MAX_TEMPERATURE), method="bounded")
    return {"temperature": float(found.x)}
