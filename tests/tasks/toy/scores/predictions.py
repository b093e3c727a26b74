from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.statistics.measure import Floats
from stages.text_tasks.predictions import TextPredictions, read_splits, write_splits


@dataclass(frozen=True)
class Predictions(TextPredictions):
    gold_E: Floats
    predicted_E: Floats


def write_predictions(path: Path, splits: dict[str, Predictions]) -> None:
    write_splits(path, splits, to_columns, format_version=1, metadata={})


def read_predictions(path: Path) -> dict[str, Predictions]:
    return read_splits(path, from_columns, format_version=1)


def to_columns(predictions: Predictions) -> dict[str, pa.Array]:
    return {"gold": pa.array(predictions.gold_E), "predicted": pa.array(predictions.predicted_E)}


def from_columns(table: pa.Table, examples: dict[str, Any], metadata: dict[str, Any]) -> Predictions:
    return Predictions(**examples, gold_E=table["gold"].to_numpy(), predicted_E=table["predicted"].to_numpy())
