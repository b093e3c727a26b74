"""Reports of a model of numbers, on predictions that are drawn."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from stages.reporting.evaluation import Report
from stages.tasks.regression.report import baselines
from stages.tasks.regression.report.analysis import report_on
from stages.tasks.regression.scores.predictions import Predictions
from stages.training.frozen_encoder import FrozenVectors
from tests.tasks.reports import LEARNING

TASK = {"name": "regression", "primary": "pearson", "unit": None}


def predictions_of(
    count: int = 60, *, targets: tuple[str, ...] = ("calm",), seed: int = 1, **fields: Any
) -> Predictions:
    """Predictions near gold, every tenth text in two windows."""
    generator = np.random.default_rng(seed)
    gold_ED = generator.normal(50, 10, (count, len(targets)))
    own = {
        "texts": pa.array([f"text {number} " + "word " * (number % 50) for number in range(count)], pa.string()),
        "pairs": None,
        "targets": targets,
        "gold_ED": gold_ED,
        "predicted_ED": gold_ED + generator.normal(1, 5, gold_ED.shape),
        "windows_E": 1 + (np.arange(count) % 10 == 0),
        "slices": {"source": pa.array([("mail", "chat")[number % 2] for number in range(count)]).dictionary_encode()},
    }
    return Predictions(**own | fields)


def made(splits: dict[str, Predictions], **task: Any) -> tuple[Report, dict[str, Any]]:
    targets = next(iter(splits.values())).targets
    texts = pa.array([f"word {number % 7}" for number in range(30)])
    pairs = texts if splits["test"].pairs is not None else None
    train = baselines.Train((texts, pairs), np.random.default_rng(3).normal(50, 10, (30, len(targets))))
    report, metrics = report_on(splits, baselines.fit_baselines(train, splits, vectors_of(train, splits)), TASK | task)
    return report | {"facts": [("Seed", "13")], "learning": LEARNING}, metrics


def vectors_of(train: baselines.Train, splits: dict[str, Predictions]) -> FrozenVectors:
    """Vectors that tell the gold numbers."""
    return FrozenVectors(
        train_MF=train.gold_EC.astype(np.float32),
        chosen_M=np.arange(len(train.gold_EC)),
        splits={split: own.gold_ED.astype(np.float32) for split, own in splits.items()},
        seconds=100.0,
    )


def both(**options: Any) -> dict[str, Predictions]:
    return {"test": predictions_of(**options), "dev": predictions_of(seed=2, **options)}


@cache
def plain() -> tuple[Report, dict[str, Any]]:
    """The report that most tests ask something of, and its metrics."""
    return made(both())
