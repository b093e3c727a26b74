from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stages.tasks.toy.scores import predictions as files
from stages.tasks.toy.scores.predictions import Predictions

from stages.scoring import CHANGES, Score
from stages.statistics.bootstrap import interval
from stages.statistics.measure import Measure, count_kinds, divide
from stages.text_tasks import predictions as shared

PRIMARY = "exact"
COMPARED_BY: dict[str, str] = {}
DEV_CURVE = "dev/primary"
TEST_LABELS = False
OLD_KEYS: dict[str, str] = {}

read_predictions = files.read_predictions
list_texts, find_slices, find_primary = shared.list_texts, shared.find_slices, shared.find_primary


def read_labels(config: Path) -> set[str]:
    return {"number"}


def find_labels(predictions: Predictions) -> set[str]:
    return {"number"}


def have_same_examples(first: Predictions, second: Predictions) -> bool:
    return shared.have_same_texts(first, second) and np.array_equal(first.gold_E, second.gold_E)


def have_same_answers(first: Predictions, second: Predictions) -> bool:
    return shared.have_same_texts(first, second) and np.array_equal(first.predicted_E, second.predicted_E)


def keep_labels(predictions: Predictions, labels: Collection[str]) -> Predictions:
    return predictions


def measure(predictions: Predictions, name: str) -> Measure:
    gold_E, predicted_E = predictions.gold_E, predictions.predicted_E
    counts_2E = np.stack([gold_E == predicted_E, np.ones_like(gold_E, bool)]).astype(np.int64)
    return Measure(count_kinds(counts_2E), lambda totals_KT: divide(totals_KT[0], totals_KT[1]), gold_E)


def primary(predictions: Predictions, name: str) -> dict[str, Any]:
    own = measure(predictions, name)
    low, high = interval(own)
    return {"name": name, "value": own.value, "low": low, "high": high, "support": own.support}


def score_labels(predictions: Predictions, name: str) -> dict[str, Score]:
    own = measure(predictions, name)
    return {"number": Score(own.value, *interval(own), own.support)}


def measure_label(predictions: Predictions, label: str, name: str) -> Measure:
    return measure(predictions, name)


def list_changes(before: Predictions, after: Predictions, *, limit: int) -> dict[str, Any]:
    return {"total": len(before.texts), "counts": dict.fromkeys(CHANGES, 0), "examples": []}


def mistake_kinds(predictions: Predictions) -> Sequence[str]:
    return ("wrong",)


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    said = enumerate(zip(predictions.gold_E.tolist(), predictions.predicted_E.tolist(), strict=True))
    common = {"kinds": ["wrong"], "labels": ["number"], "confidence": 1.0}
    return [
        {"example": n + 1, **shared.show_texts(predictions, n), "gold": gold, "predicted": predicted, **common}
        for n, (gold, predicted) in said
        if gold != predicted
    ]
