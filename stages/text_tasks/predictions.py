"""Predictions for texts, whatever is predicted, and their file data/report/predictions.parquet.

A row of the file is an example:

split               dev or test
example             its 0-based number in the split
text, pair          string; pair is null where an example has one text
gold, predicted, …  the columns of the task
windows             int32, in how many rows the text was encoded
slice:NAME          string, the value of a column that was kept
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import read_json, read_versioned_parquet, write_versioned_parquet
from stages.encoding.texts import SLICE, EncodedTexts
from stages.errors import ArtifactError
from stages.statistics.measure import Numbers


@dataclass(frozen=True)
class TextPredictions:
    """The E examples of a split; a task adds what gold has and what is predicted."""

    texts: pa.StringArray
    pairs: pa.StringArray | None
    windows_E: Numbers
    slices: dict[str, pa.DictionaryArray]


P = TypeVar("P", bound=TextPredictions)


def examples_of(encoded: EncodedTexts) -> dict[str, Any]:
    """The fields of `TextPredictions` for encoded texts."""
    return {
        "texts": pa.concat_arrays(encoded.texts.chunks),
        "pairs": None if encoded.pairs is None else pa.concat_arrays(encoded.pairs.chunks),
        "windows_E": np.bincount(encoded.example, minlength=len(encoded.first_rows)),
        "slices": encoded.slices,
    }


def write_splits(
    path: Path,
    splits: Mapping[str, P],
    to_columns: Callable[[P], Mapping[str, pa.Array]],
    *,
    format_version: int,
    metadata: dict[str, Any],
) -> None:
    """Write the predictions of all splits; `to_columns` gives the columns of the task."""
    tables = [_to_table(split, own, to_columns(own)) for split, own in splits.items()]
    write_versioned_parquet(path, tables, format_version=format_version, metadata=metadata)


def read_splits(
    path: Path, from_columns: Callable[[pa.Table, dict[str, Any], dict[str, Any]], P], *, format_version: int
) -> dict[str, P]:
    """Read the predictions of each split; ArtifactError if the file is missing, damaged or of another version.

    `from_columns` takes the rows of a split, the fields of `TextPredictions` and the metadata.
    """
    with read_versioned_parquet(path, format_version=format_version, stage="evaluate") as (table, metadata):
        tables = {name: table.filter(pc.equal(table["split"], name)) for name in table["split"].unique().to_pylist()}
        return {split: from_columns(own, _read_examples(own), metadata) for split, own in tables.items()}


def have_same_texts(first: TextPredictions, second: TextPredictions) -> bool:
    """Whether both are for the same texts, and pairs, in the same order."""
    if not first.texts.equals(second.texts) or (first.pairs is None) != (second.pairs is None):
        return False
    return first.pairs is None or bool(first.pairs.equals(second.pairs))


def list_texts(predictions: TextPredictions) -> pa.ListArray:
    """The text of each example, and its second text if there is one."""
    texts = predictions.texts
    if predictions.pairs is None:
        return pa.ListArray.from_arrays(pa.array(np.arange(len(texts) + 1), pa.int32()), texts)
    both = [[text, pair] for text, pair in zip(texts.to_pylist(), predictions.pairs.to_pylist(), strict=True)]
    return pa.array(both, pa.list_(pa.string()))


def show_texts(predictions: TextPredictions, example: int) -> dict[str, str]:
    """The `text` of an example, by its number from 0, and its `pair` if there is one."""
    texts = {"text": predictions.texts[example].as_py()}
    return texts if predictions.pairs is None else texts | {"pair": predictions.pairs[example].as_py()}


def find_slices(predictions: TextPredictions) -> dict[str, pa.DictionaryArray]:
    """The value of each text in each sliced column."""
    return predictions.slices


def find_primary(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The primary score of a split among its tables in metrics.json."""
    found: dict[str, Any] = tables["primary"]
    return found


def read_names(config: Path, *, noun: str) -> set[str]:
    """What a model predicts, by its config.json; ArtifactError if the file is missing or names none of these `noun`."""
    names: Any = read_json(config).get("id2label")
    if not isinstance(names, dict):
        raise ArtifactError(f"{config} names no {noun}.")
    return set(names.values())


def _to_table(split: str, predictions: TextPredictions, columns: Mapping[str, pa.Array]) -> pa.Table:
    examples = len(predictions.texts)
    return pa.table(
        {
            "split": pa.array([split] * examples, pa.string()),
            "example": pa.array(np.arange(examples)),
            "text": predictions.texts,
            "pair": pa.nulls(examples, pa.string()) if predictions.pairs is None else predictions.pairs,
            **columns,
            "windows": pa.array(predictions.windows_E, pa.int32()),
            **{f"{SLICE}{name}": values.cast(pa.string()) for name, values in predictions.slices.items()},
        }
    )


def _read_examples(table: pa.Table) -> dict[str, Any]:
    pairs = table["pair"].combine_chunks()
    return {
        "texts": table["text"].combine_chunks(),
        "pairs": None if pairs.null_count == len(pairs) else pairs,
        "windows_E": table["windows"].to_numpy().astype(np.int64),
        "slices": {
            name.removeprefix(SLICE): table[name].combine_chunks().dictionary_encode()
            for name in table.column_names
            if name.startswith(SLICE)
        },
    }
