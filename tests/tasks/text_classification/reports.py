"""Reports of a classifier of texts, on predictions that are drawn."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from stages.reporting.evaluation import Report
from stages.statistics.calibration import sigmoid, softmax
from stages.tasks.text_classification.report import baselines
from stages.tasks.text_classification.report.analysis import report_on
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import predict_one, predict_several
from stages.training.frozen_encoder import FrozenVectors
from tests.tasks.reports import LEARNING

TASK = {"name": "text_classification", "primary": "macro_f1", "multi_label": False, "thresholds": "per_label"}
LABELS = ("bad", "good", "so-so")


def predictions_of(
    count: int = 60, *, labels: tuple[str, ...] = LABELS, multi_label: bool = False, seed: int = 1, **fields: Any
) -> Predictions:
    """Predictions that are mostly right, every tenth text in two windows."""
    generator = np.random.default_rng(seed)
    gold_EC = np.zeros((count, len(labels)), dtype=bool)
    gold_EC[np.arange(count), np.arange(count) % len(labels)] = True
    if multi_label:
        gold_EC |= generator.random(gold_EC.shape) < 0.2
    logits_EC = generator.normal(0, 2, gold_EC.shape) + 4 * gold_EC - (2 if multi_label else 0)
    probability_EC = (sigmoid if multi_label else softmax)(logits_EC, 2.0)
    thresholds = (0.5,) * len(labels) if multi_label else None
    predicted_EC = predict_several(probability_EC, thresholds) if thresholds else predict_one(probability_EC)
    texts = [f"text {number} " + "word " * (number % 50) for number in range(count)]
    own = {
        "texts": pa.array(texts, pa.string()),
        "pairs": None,
        "labels": labels,
        "gold_EC": gold_EC,
        "probability_EC": probability_EC,
        "predicted_EC": predicted_EC,
        "windows_E": 1 + (np.arange(count) % 10 == 0),
        "slices": {"source": pa.array([("mail", "chat")[number % 2] for number in range(count)]).dictionary_encode()},
        "thresholds": thresholds,
        "temperature": 2.0,
    }
    return Predictions(**own | fields)


def train_of(labels: tuple[str, ...] = LABELS) -> baselines.Train:
    count = max(30, 3 * len(labels))
    gold_EC = np.zeros((count, len(labels)), dtype=bool)
    gold_EC[np.arange(count), np.arange(count) % len(labels)] = True
    texts = pa.array([f"this is {labels[number % len(labels)]}" for number in range(count)])
    return baselines.Train((texts, None), gold_EC)


def vectors_of(train: baselines.Train, splits: dict[str, Predictions]) -> FrozenVectors:
    """Vectors that tell the gold labels, of every second text of train."""
    chosen_M = np.arange(0, len(train.gold_EC), 2)
    return FrozenVectors(
        train_MF=train.gold_EC[chosen_M].astype(np.float32),
        chosen_M=chosen_M,
        splits={split: own.gold_EC.astype(np.float32) for split, own in splits.items()},
        seconds=100.0,
    )


def made(
    splits: dict[str, Predictions],
    train: baselines.Train | None = None,
    vectors: FrozenVectors | str = "it would take minutes",
) -> tuple[Report, dict[str, Any]]:
    own = next(iter(splits.values()))
    task = TASK | {"multi_label": own.is_multi_label}
    fitted = baselines.fit_baselines(train or train_of(own.labels), splits, vectors)
    report, metrics = report_on(splits, fitted, task)
    return report | {"facts": [("Seed", "13")], "learning": LEARNING}, metrics


def both(**options: Any) -> dict[str, Predictions]:
    return {"test": predictions_of(**options), "dev": predictions_of(seed=2, **options)}


@cache
def plain(*, multi_label: bool = False) -> tuple[Report, dict[str, Any]]:
    """The report that most tests ask something of, and its metrics."""
    return made(both(multi_label=multi_label))
