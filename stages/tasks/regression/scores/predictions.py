"""Predicted numbers of texts, and their columns in data/report/predictions.parquet (stages/text_tasks/predictions.py):

gold, predicted     list<double>, a number for each target, in the user's unit

The schema's metadata hold the names of the targets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.statistics.measure import Floats
from stages.text_tasks.predictions import TextPredictions, have_same_texts, read_splits, write_splits

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Predictions(TextPredictions):
    """The examples of a split with gold and predicted numbers in the user's unit. Shapes: E examples, D targets."""

    targets: tuple[str, ...]
    gold_ED: Floats
    predicted_ED: Floats


def write_predictions(path: Path, splits: dict[str, Predictions]) -> None:
    """Write the predictions of all splits, which have the same targets."""
    targets = next(iter(splits.values())).targets
    write_splits(path, splits, _to_columns, format_version=FORMAT_VERSION, metadata={"targets": targets})


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read the predictions of each split; ArtifactError if the file is missing, damaged or of another version."""
    return read_splits(path, _from_columns, format_version=FORMAT_VERSION)


def same_examples(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same texts with the same targets and gold numbers, in the same order."""
    same_gold = first.targets == second.targets and np.array_equal(first.gold_ED, second.gold_ED)
    return same_gold and have_same_texts(first, second)


def _to_columns(predictions: Predictions) -> dict[str, pa.Array]:
    examples, targets = predictions.gold_ED.shape
    offsets = pa.array(np.arange(examples + 1) * targets, pa.int32())
    return {
        name: pa.ListArray.from_arrays(offsets, pa.array(numbers_ED.reshape(-1), pa.float64()))
        for name, numbers_ED in (("gold", predictions.gold_ED), ("predicted", predictions.predicted_ED))
    }


def _from_columns(table: pa.Table, examples: dict[str, Any], metadata: dict[str, Any]) -> Predictions:
    targets = tuple(metadata["targets"])
    gold_ED, predicted_ED = (
        table[name].combine_chunks().flatten().to_numpy().reshape(len(table), len(targets))
        for name in ("gold", "predicted")
    )
    return Predictions(**examples, targets=targets, gold_ED=gold_ED, predicted_ED=predicted_ED)
