"""data/report/predictions.parquet: the predictions for every word, written and read here alone. A row is a sentence:

split               dev or test
sentence            its 0-based number in the split
document            number of its document, null for none; absent from the files of older versions
words               list<string>
gold, predicted     list<string>, a tag for each word
probability         list<float>, of each predicted tag
gold_entities, predicted_entities, correct_entities    counts of the strict reading, from which F1 follows
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import read_versioned_parquet, write_versioned_parquet
from stages.tasks.token_classification.scores.entities import Numbers, Tagging
from stages.tasks.token_classification.scores.metric import counts_by_sentence

FORMAT_VERSION = 2
COUNTS = ("correct_entities", "predicted_entities", "gold_entities")


@dataclass(frozen=True)
class Predictions:
    """The words of a split with their gold and predicted tags and the probability of each predicted one."""

    words: pa.ListArray  # of strings, an item for each sentence
    gold: Tagging
    predicted: Tagging
    probability_W: npt.NDArray[np.float32]
    documents: npt.NDArray[np.int32] | None = None  # [S] of each sentence, -1 for none; None if that is not known


def write_predictions(path: Path, splits: dict[str, Predictions]) -> None:
    """Write the predictions of all splits."""
    tables = [_table(split, predictions) for split, predictions in splits.items()]
    write_versioned_parquet(path, tables, format_version=FORMAT_VERSION)


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read the predictions of each split; ArtifactError if the file is missing, damaged or of another version."""
    with read_versioned_parquet(path, format_version=FORMAT_VERSION, stage="evaluate") as (table, _):
        return {
            split: _from_table(table.filter(pc.equal(table["split"], split)))
            for split in table["split"].unique().to_pylist()
        }


def _table(split: str, predictions: Predictions) -> pa.Table:
    gold, predicted = predictions.gold, predictions.predicted
    offsets = pa.array(gold.bounds, pa.int32())
    tags = pa.array(gold.tags, pa.string())

    def tag_lists(ids_W: Numbers) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, tags.take(pa.array(ids_W)))

    counts = counts_by_sentence(gold.entities(strict=True), predicted.entities(strict=True), gold.sentences)
    return pa.table(
        {
            "split": [split] * gold.sentences,
            "sentence": pa.array(np.arange(gold.sentences)),
            "document": _document_column(predictions),
            "words": predictions.words,
            "gold": tag_lists(gold.ids_W),
            "predicted": tag_lists(predicted.ids_W),
            "probability": pa.ListArray.from_arrays(offsets, pa.array(predictions.probability_W)),
            **dict(zip(COUNTS, map(pa.array, counts), strict=True)),
        }
    )


def _from_table(table: pa.Table) -> Predictions:
    words, gold, predicted, probability = (
        table[name].combine_chunks() for name in ("words", "gold", "predicted", "probability")
    )
    bounds = np.append(0, np.cumsum(words.value_lengths().to_numpy(), dtype=np.int64))
    tags = pc.unique(pa.concat_arrays([gold.flatten(), predicted.flatten()])).sort()

    def tagging(lists: pa.ListArray) -> Tagging:
        ids_W = pc.index_in(lists.flatten(), value_set=tags).to_numpy().astype(np.int64)
        return Tagging(ids_W, bounds, tuple(tags.to_pylist()))

    documents = None
    if "document" in table.column_names:
        documents = table["document"].combine_chunks().fill_null(-1).to_numpy()
    return Predictions(words, tagging(gold), tagging(predicted), probability.flatten().to_numpy(), documents)


def _document_column(predictions: Predictions) -> pa.Array:
    if predictions.documents is None:
        return pa.nulls(predictions.gold.sentences, pa.int32())
    return pa.array(predictions.documents, pa.int32(), mask=predictions.documents < 0)
