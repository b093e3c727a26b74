from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stages.tasks.toy.scores.predictions import Predictions
from transformers import PreTrainedModel

from stages.encoding.files import Manifest
from stages.encoding.texts import EncodedTexts, read_texts
from stages.modeling.device import Compute
from stages.modeling.text_split import TextSplit, predict_examples
from stages.statistics.measure import Floats
from stages.text_tasks.predictions import examples_of


class SquaredError:
    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        number_O, weight_O = answers
        return ((logits_OC[:, 0] - number_O).square() * weight_O).sum()


def read_split(folder: Path, split: str, manifest: Manifest, task: Any) -> TextSplit:
    texts = read_texts(folder, *manifest.files(split))
    return TextSplit(texts, task.pooling, read_numbers(texts).astype(np.float32)[texts.example])


def read_numbers(texts: EncodedTexts) -> Floats:
    return texts.example_answers.flatten().to_numpy() if texts.answers is not None else np.zeros(len(texts.first_rows))


def decide(logits_EC: Floats, texts: EncodedTexts, labels: Sequence[str], decision: Mapping[str, Any]) -> Predictions:
    return Predictions(**examples_of(texts), gold_E=read_numbers(texts), predicted_E=np.rint(logits_EC[:, 0]))


def make_head(_: PreTrainedModel, __: Any, ___: Manifest, ____: Compute, *, label_smoothing: float) -> SquaredError:
    return SquaredError()


def predict(model: PreTrainedModel, split: TextSplit, compute: Compute, *, batch_tokens: int) -> Floats:
    return predict_examples(model, split, compute, batch_tokens=batch_tokens)


def describe_score(score: float, task: Any) -> tuple[str, float]:
    return "exact", score


def score(predicted: Floats, split: TextSplit, manifest: Manifest, task: Any) -> float:
    own = decide(predicted, split.texts, manifest.labels, {})
    return float((own.predicted_E == own.gold_E).mean())


def fit_decision(_: Floats, __: TextSplit, ___: Manifest, ____: Any) -> dict[str, Any]:
    return {}
