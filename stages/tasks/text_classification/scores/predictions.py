"""Predicted labels of texts, and their columns in data/report/predictions.parquet (stages/text_tasks/predictions.py):

gold, predicted     list<string>, labels in the order of `labels`
probability         list<float>[C], calibrated, of each label

The schema's metadata hold the labels, the thresholds (null where a text has one label) and the temperature.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.statistics.measure import Truths
from stages.text_tasks.predictions import TextPredictions, have_same_texts, read_splits, write_splits

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Predictions(TextPredictions):
    """The examples of a split with gold and predicted labels and the calibrated probability of each label.

    `thresholds` is None where each text has exactly one label, gold and predicted. A label that only gold has, unknown
    to the model, is among `labels` with probability 0. Shapes: E examples, C labels.
    """

    labels: tuple[str, ...]
    gold_EC: Truths
    probability_EC: npt.NDArray[np.float32]
    predicted_EC: Truths
    thresholds: tuple[float, ...] | None = None
    temperature: float = 1.0

    @property
    def is_multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.thresholds is not None


def write_predictions(path: Path, splits: dict[str, Predictions]) -> None:
    """Write the predictions of all splits, which have the same labels, thresholds and temperature."""
    model = next(iter(splits.values()))
    metadata = {"labels": model.labels, "thresholds": model.thresholds, "temperature": model.temperature}
    write_splits(path, splits, _to_columns, format_version=FORMAT_VERSION, metadata=metadata)


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read the predictions of each split; ArtifactError if the file is missing, damaged or of another version."""
    return read_splits(path, _from_columns, format_version=FORMAT_VERSION)


def same_examples(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same texts with the same gold labels, in the same order.

    Labels are compared by name: the order of `labels` may differ, and so may labels that no example has.
    """
    names = sorted({*first.labels, *second.labels})
    return have_same_texts(first, second) and all(
        np.array_equal(_gold_of(first, name), _gold_of(second, name)) for name in names
    )


def _gold_of(predictions: Predictions, label: str) -> Truths:
    if label not in predictions.labels:
        return np.zeros(len(predictions.gold_EC), dtype=bool)
    return predictions.gold_EC[:, predictions.labels.index(label)]


def _to_columns(predictions: Predictions) -> dict[str, pa.Array]:
    labels = pa.array(predictions.labels, pa.string())

    def label_lists(chosen_EC: Truths) -> pa.ListArray:
        offsets = np.append(0, np.cumsum(chosen_EC.sum(1))).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), labels.take(pa.array(np.nonzero(chosen_EC)[1])))

    probability = pa.array(np.ascontiguousarray(predictions.probability_EC, np.float32).reshape(-1))
    return {
        "gold": label_lists(predictions.gold_EC),
        "predicted": label_lists(predictions.predicted_EC),
        "probability": pa.FixedSizeListArray.from_arrays(probability, len(predictions.labels)),
    }


def _from_columns(table: pa.Table, examples: dict[str, Any], metadata: dict[str, Any]) -> Predictions:
    labels, thresholds = tuple(metadata["labels"]), metadata["thresholds"]
    gold_EC, predicted_EC = (_indicate(table[name].combine_chunks(), labels) for name in ("gold", "predicted"))
    probability = table["probability"].combine_chunks().flatten().to_numpy()
    return Predictions(
        **examples,
        labels=labels,
        gold_EC=gold_EC,
        probability_EC=probability.reshape(len(table), len(labels)),
        predicted_EC=predicted_EC,
        thresholds=None if thresholds is None else tuple(thresholds),
        temperature=metadata["temperature"],
    )


def _indicate(lists: pa.ListArray, labels: tuple[str, ...]) -> Truths:
    """Which labels each list holds; ValueError if it holds another."""
    index = pc.index_in(lists.flatten(), value_set=pa.array(labels, pa.string()))
    if index.null_count:
        raise ValueError("a row has a label that is not among those of the file")
    chosen_EC = np.zeros((len(lists), len(labels)), dtype=bool)
    chosen_EC[np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy()), index.to_numpy()] = True
    return chosen_EC
