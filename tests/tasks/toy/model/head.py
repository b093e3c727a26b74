from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.encoding.files import Manifest
from stages.encoding.texts import EncodedTexts, read_texts
from stages.modeling.device import Compute
from stages.modeling.text_split import TextSplit, predict_examples

Floats = npt.NDArray[np.float64]


class SquaredError:
    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        number_O, weight_O = answers
        return ((logits_OC[:, 0] - number_O).square() * weight_O).sum()


def read_split(folder: Path, split: str, manifest: Manifest, task: Any) -> TextSplit:
    texts = read_texts(folder, split)
    return TextSplit(texts, task.pooling, read_numbers(texts).astype(np.float32)[texts.example])


def read_numbers(texts: EncodedTexts) -> Floats:
    return texts.example_answers.flatten().to_numpy()


def make_head(_: Any, __: Manifest, ___: Compute, *, label_smoothing: float) -> SquaredError:
    return SquaredError()


def predict(model: PreTrainedModel, split: TextSplit, compute: Compute, *, batch_tokens: int) -> Floats:
    return np.rint(predict_examples(model, split, compute, batch_tokens=batch_tokens)[:, 0])


def describe_score(score: float, task: Any) -> tuple[str, float]:
    return "exact", score


def score(predicted: Floats, split: TextSplit, manifest: Manifest, task: Any) -> float:
    return float((predicted == read_numbers(split.texts)).mean())


def fit_decision(_: Floats, __: TextSplit, ___: Manifest, ____: Any) -> dict[str, Any]:
    return {}
