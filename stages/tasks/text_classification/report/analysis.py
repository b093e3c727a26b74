"""What a report says of the classified texts of a split.

Shape legend: E examples, C labels.
"""

from typing import Any, cast

import numpy as np
from scipy import sparse

from stages.scoring import Scores
from stages.statistics.baselines import Fitted
from stages.tasks.text_classification.report import baselines
from stages.tasks.text_classification.report.confidence import compare_calibration, trace_thresholds
from stages.tasks.text_classification.scores import scoring
from stages.tasks.text_classification.scores.metric import confusion, scores
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.text_tasks import analysis as shared

MAX_MATRIX = 20  # labels of a matrix that can still be read
MAX_CURVES = 12  # labels with curves of their thresholds
MAX_PAIRS = 200


def analyze(predictions: Predictions, name: str) -> dict[str, Any]:
    """All that is said of a split, by the primary score of this name: what `analyze_split` has, and more.

    `reliability` is what `compare_calibration` has; `pairs` what `count_confused` has; `matrix` the confusion of labels
    or None; `curves` those of thresholds by label.
    """
    tables = scores(predictions)
    few = len(predictions.labels) <= MAX_MATRIX and not predictions.is_multi_label
    worst = sorted(tables["per_label"], key=lambda label: tables["per_label"][label]["f1"])
    return shared.analyze_split(cast(Scores, scoring), predictions, name, tables) | {
        "reliability": compare_calibration(predictions),
        "thresholds": dict(zip(predictions.labels, predictions.thresholds or (), strict=False)),
        "pairs": count_confused(predictions)[:MAX_PAIRS],
        "matrix": {"labels": predictions.labels, "counts": confusion(predictions).tolist()} if few else None,
        "curves": {
            label: trace_thresholds(predictions, label) for label in worst[:MAX_CURVES] if predictions.is_multi_label
        },
    }


def report_on(
    predictions: dict[str, Predictions], fitted: Fitted, task: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report, without its facts and the course of training, and the metrics.

    `task` is the section of params.yaml.
    """
    name = task["primary"]
    tables = baselines.score_baselines(fitted, predictions, name=name, per_label=task["thresholds"] == "per_label")
    splits = {split: analyze(own, name) | {"baselines": tables[split]} for split, own in predictions.items()}
    report = {
        "primary": name,
        "multi_label": task["multi_label"],
        "train_texts": fitted.train_texts,
        "remarks": fitted.remarks,
        "splits": splits,
    }
    return report, {split: list_metrics(analysis) for split, analysis in splits.items()}


def count_confused(predictions: Predictions) -> list[dict[str, Any]]:
    """`{"gold", "predicted", "count", "share"}` of pairs of labels, the most frequent first, then by name.

    A text counts for each pair of a label that it lacks in the prediction and one that it has there alone; `share` is
    that of the texts with the gold label.
    """
    missed_EC = sparse.csr_array((predictions.gold_EC & ~predictions.predicted_EC).astype(np.int64))
    spurious_EC = sparse.csr_array((predictions.predicted_EC & ~predictions.gold_EC).astype(np.int64))
    counts = sparse.coo_array(missed_EC.T @ spurious_EC)
    gold_C = predictions.gold_EC.sum(0).tolist()
    rows = [
        {
            "gold": predictions.labels[gold],
            "predicted": predictions.labels[predicted],
            "count": count,
            "share": count / gold_C[gold],
        }
        for gold, predicted, count in zip(counts.row.tolist(), counts.col.tolist(), counts.data.tolist(), strict=True)
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["gold"], row["predicted"]))


def list_metrics(analysis: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an analysis that can be compared between runs, as metrics.json has them."""
    errors = {name: analysis["reliability"][name]["error"] for name in ("before", "after")}
    return shared.list_metrics(analysis, calibration_error=errors)
