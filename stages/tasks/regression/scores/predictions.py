"""data/report/predictions.parquet: the predicted numbers of every text, written and read here alone.

A row is an example:

split               dev or test
example             its 0-based number in the split
text, pair          string; pair is null where an example has one text
gold, predicted     list<double>, a number for each target, in the user's unit
windows             int32, in how many rows the text was encoded
slice:NAME          string, the value of a column that was kept

The schema's metadata hold the names of the targets.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import read_versioned_parquet, write_versioned_parquet
from stages.statistics.measure import Floats, Numbers

FORMAT_VERSION = 1
SLICE = "slice:"


@dataclass(frozen=True)
class Predictions:
    """The examples of a split with gold and predicted numbers in the user's unit. Shapes: E examples, D targets."""

    texts: pa.StringArray
    pairs: pa.StringArray | None
    targets: tuple[str, ...]
    gold_ED: Floats
    predicted_ED: Floats
    windows_E: Numbers
    slices: dict[str, pa.DictionaryArray]


def write_predictions(path: Path, splits: dict[str, Predictions]) -> None:
    """Write the predictions of all splits, which have the same targets."""
    tables = [_table(split, predictions) for split, predictions in splits.items()]
    targets = next(iter(splits.values())).targets
    write_versioned_parquet(path, tables, format_version=FORMAT_VERSION, metadata={"targets": targets})


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read the predictions of each split; ArtifactError if the file is missing, damaged or of another version."""
    with read_versioned_parquet(path, format_version=FORMAT_VERSION, stage="evaluate") as (table, model):
        return {
            split: _from_table(table.filter(pc.equal(table["split"], split)), tuple(model["targets"]))
            for split in table["split"].unique().to_pylist()
        }


def same_examples(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same texts with the same targets and gold numbers, in the same order."""
    if first.targets != second.targets or (first.pairs is None) != (second.pairs is None):
        return False
    if first.pairs is not None and not first.pairs.equals(second.pairs):
        return False
    return bool(first.texts.equals(second.texts)) and np.array_equal(first.gold_ED, second.gold_ED)


def _table(split: str, predictions: Predictions) -> pa.Table:
    examples, targets = predictions.gold_ED.shape
    offsets = pa.array(np.arange(examples + 1) * targets, pa.int32())

    def number_lists(numbers_ED: Floats) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.array(numbers_ED.reshape(-1), pa.float64()))

    return pa.table(
        {
            "split": pa.array([split] * examples, pa.string()),
            "example": pa.array(np.arange(examples)),
            "text": predictions.texts,
            "pair": pa.nulls(examples, pa.string()) if predictions.pairs is None else predictions.pairs,
            "gold": number_lists(predictions.gold_ED),
            "predicted": number_lists(predictions.predicted_ED),
            "windows": pa.array(predictions.windows_E, pa.int32()),
            **{f"{SLICE}{name}": values.cast(pa.string()) for name, values in predictions.slices.items()},
        }
    )


def _from_table(table: pa.Table, targets: tuple[str, ...]) -> Predictions:
    gold_ED, predicted_ED = (
        table[name].combine_chunks().flatten().to_numpy().reshape(len(table), len(targets))
        for name in ("gold", "predicted")
    )
    pairs = table["pair"].combine_chunks()
    return Predictions(
        texts=table["text"].combine_chunks(),
        pairs=None if pairs.null_count == len(pairs) else pairs,
        targets=targets,
        gold_ED=gold_ED,
        predicted_ED=predicted_ED,
        windows_E=table["windows"].to_numpy().astype(np.int64),
        slices={
            name.removeprefix(SLICE): table[name].combine_chunks().dictionary_encode()
            for name in table.column_names
            if name.startswith(SLICE)
        },
    )
