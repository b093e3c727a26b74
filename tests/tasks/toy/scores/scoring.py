from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from stages.tasks.toy.scores import predictions as files

from stages.scoring import CHANGES, Score
from stages.statistics.bootstrap import interval
from stages.statistics.measure import Measure, count_kinds, divide

PRIMARY = "exact"
COMPARED_BY: dict[str, str] = {}
DEV_CURVE = "dev/primary"
TEST_LABELS = False
OLD_KEYS: dict[str, str] = {}


def read_predictions(path: Path) -> dict[str, pa.Table]:
    return files.read_predictions(path)


def read_labels(config: Path) -> set[str]:
    return {"number"}


def find_labels(predictions: pa.Table) -> set[str]:
    return {"number"}


def list_texts(predictions: pa.Table) -> pa.ListArray:
    return pa.array([[text] for text in predictions["text"].to_pylist()])


def have_same_examples(first: pa.Table, second: pa.Table) -> bool:
    return bool(first.select(["text", "gold"]).equals(second.select(["text", "gold"])))


def have_same_answers(first: pa.Table, second: pa.Table) -> bool:
    return bool(first.select(["text", "predicted"]).equals(second.select(["text", "predicted"])))


def keep_labels(predictions: pa.Table, labels: Collection[str]) -> pa.Table:
    return predictions


def measure(predictions: pa.Table, name: str) -> Measure:
    gold_E, predicted_E = (predictions[side].to_numpy() for side in ("gold", "predicted"))
    counts_2E = np.stack([gold_E == predicted_E, np.ones_like(gold_E, bool)]).astype(np.int64)
    return Measure(count_kinds(counts_2E), lambda totals_KT: divide(totals_KT[0], totals_KT[1]), gold_E)


def primary(predictions: pa.Table, name: str) -> dict[str, Any]:
    own = measure(predictions, name)
    low, high = interval(own)
    return {"name": name, "value": own.value, "low": low, "high": high, "support": own.support}


def find_primary(tables: Mapping[str, Any]) -> dict[str, Any]:
    return tables["primary"]


def score_labels(predictions: pa.Table, name: str) -> dict[str, Score]:
    own = measure(predictions, name)
    return {"number": Score(own.value, *interval(own), own.support)}


def measure_label(predictions: pa.Table, label: str, name: str) -> Measure:
    return measure(predictions, name)


def find_slices(predictions: pa.Table) -> dict[str, pa.DictionaryArray]:
    return {}


def list_changes(before: pa.Table, after: pa.Table, *, limit: int) -> dict[str, Any]:
    return {"total": len(before), "counts": dict.fromkeys(CHANGES, 0), "examples": []}


def mistake_kinds(predictions: pa.Table) -> Sequence[str]:
    return ("wrong",)


def list_mistakes(predictions: pa.Table) -> list[dict[str, Any]]:
    return [
        {"example": number, **row, "kinds": ["wrong"], "labels": ["number"], "confidence": 1.0}
        for number, row in enumerate(predictions.drop_columns("split").to_pylist(), start=1)
        if row["gold"] != row["predicted"]
    ]
