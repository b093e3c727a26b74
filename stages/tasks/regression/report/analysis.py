"""What a report says of the predicted numbers of a split.

Shape legend: E examples, D targets, B bins.
"""

from typing import Any, cast

import numpy as np

from stages.scoring import Scores
from stages.statistics.baselines import Fitted
from stages.statistics.lengths import list_lengths, slice_by_length
from stages.statistics.measure import Floats
from stages.statistics.slices import list_slices
from stages.tasks.regression.report import baselines
from stages.tasks.regression.scores import scoring
from stages.tasks.regression.scores.metric import scores
from stages.tasks.regression.scores.predictions import Predictions
from stages.text_tasks import analysis as shared

MAX_POINTS = 1000  # of a scatter plot
BINS = 24  # of residuals


def report_on(
    predictions: dict[str, Predictions], fitted: Fitted, task: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report, without its facts and the course of training, and the metrics.

    `task` is the section of params.yaml.
    """
    name = task["primary"]
    tables = baselines.score_baselines(fitted, predictions, name=name)
    splits = {split: analyze(own, name) | {"baselines": tables[split]} for split, own in predictions.items()}
    report = {
        "primary": name,
        "unit": task["unit"],
        "train_texts": fitted.train_texts,
        "remarks": fitted.remarks,
        "splits": splits,
    }
    return report, {split: list_metrics(analysis) for split, analysis in splits.items()}


def analyze(predictions: Predictions, name: str) -> dict[str, Any]:
    """All that is said of a split, by the primary score of this name: what `analyze_split` has, and more.

    `most` is the highest end of an interval of a slice; `targets` by name `points` (gold, predicted), the `bins` of
    residuals and the residuals by length. A residual is a predicted number less the gold one.
    """
    found = shared.analyze_split(cast(Scores, scoring), predictions, name, scores(predictions))
    parts = (found["by_length"], found["by_windows"], *found["slices"].values())
    length = slice_by_length(predictions.texts, predictions.pairs)
    return found | {
        "most": max([row["high"] for rows in parts for row in rows.values()], default=0.0) or 1.0,
        "targets": {
            target: _describe_target(predictions.gold_ED[:, column], predictions.predicted_ED[:, column], length)
            for column, target in enumerate(predictions.targets)
        },
    }


def list_metrics(analysis: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an analysis that can be compared between runs, as metrics.json has them."""
    residuals = {
        target: {key: found["residual"][key] for key in ("mean", "deviation")}
        for target, found in analysis["targets"].items()
    }
    return shared.list_metrics(analysis, residual=residuals)


def _describe_target(gold_E: Floats, predicted_E: Floats, length: Any) -> dict[str, Any]:
    residual_E = predicted_E - gold_E
    chosen = [number * len(gold_E) // MAX_POINTS for number in range(MAX_POINTS)]
    shown = np.arange(len(gold_E)) if len(gold_E) <= MAX_POINTS else np.array(chosen)
    own = {name: residual_E[chosen_E] for name, chosen_E in list_slices(length)}
    return {
        "points": [
            {"gold": gold, "predicted": predicted}
            for gold, predicted in zip(gold_E[shown].tolist(), predicted_E[shown].tolist(), strict=True)
        ],
        "residual": {"mean": _mean(residual_E), "deviation": float(residual_E.std()) if len(residual_E) else 0.0},
        "bins": _count_bins(residual_E),
        "by_length": [
            {
                "length": name,
                "mean": _mean(own[name]),
                "error": _mean(abs(own[name])),
                "texts": len(own[name]),
            }
            for name in list_lengths()
            if name in own
        ],
    }


def _count_bins(residual_E: Floats) -> list[dict[str, Any]]:
    """How many residuals lie in each of equally wide ranges, 0 in the middle of one."""
    most = float(abs(residual_E).max(initial=0.0)) or 1.0
    edges = np.linspace(-most, most, BINS + 2)
    count_B, _ = np.histogram(residual_E, edges)
    ends = edges.tolist()
    return [
        {"low": low, "high": high, "residual": (low + high) / 2, "count": count}
        for low, high, count in zip(ends[:-1], ends[1:], count_B.tolist(), strict=True)
    ]


def _mean(numbers: Floats) -> float:
    return float(numbers.mean()) if len(numbers) else 0.0
