"""data/report/predictions.parquet: the predictions for every text, written and read here alone. A row is an example:

split               dev or test
example             its 0-based number in the split
text, pair          string; pair is null where an example has one text
gold, predicted     list<string>, labels in the order of `labels`
probability         list<float>[C], calibrated, of each label
windows             int32, in how many rows the text was encoded
slice:NAME          string, the value of a column that was kept

The schema's metadata hold the labels, the thresholds (null where a text has one label) and the temperature.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import read_versioned_parquet, write_versioned_parquet
from stages.statistics.measure import Numbers, Truths

FORMAT_VERSION = 1
SLICE = "slice:"


@dataclass(frozen=True)
class Predictions:
    """The examples of a split with gold and predicted labels and the calibrated probability of each label.

    `thresholds` is None where each text has exactly one label, gold and predicted. A label that only gold has, unknown
    to the model, is among `labels` with probability 0. Shapes: E examples, C labels.
    """

    texts: pa.StringArray
    pairs: pa.StringArray | None
    labels: tuple[str, ...]
    gold_EC: Truths
    probability_EC: npt.NDArray[np.float32]
    predicted_EC: Truths
    windows_E: Numbers
    slices: dict[str, pa.DictionaryArray]
    thresholds: tuple[float, ...] | None = None
    temperature: float = 1.0

    @property
    def is_multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.thresholds is not None


def write_predictions(path: Path, splits: dict[str, Predictions]) -> None:
    """Write the predictions of all splits, which have the same labels, thresholds and temperature."""
    model = next(iter(splits.values()))
    write_versioned_parquet(
        path,
        [_table(split, predictions) for split, predictions in splits.items()],
        format_version=FORMAT_VERSION,
        metadata={"labels": model.labels, "thresholds": model.thresholds, "temperature": model.temperature},
    )


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read the predictions of each split; ArtifactError if the file is missing, damaged or of another version."""
    with read_versioned_parquet(path, format_version=FORMAT_VERSION, stage="evaluate") as (table, model):
        thresholds = model["thresholds"] if model["thresholds"] is None else tuple(model["thresholds"])
        return {
            split: _from_table(
                table.filter(pc.equal(table["split"], split)), tuple(model["labels"]), thresholds, model["temperature"]
            )
            for split in table["split"].unique().to_pylist()
        }


def same_examples(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same texts with the same gold labels, in the same order.

    Labels are compared by name: the order of `labels` may differ, and so may labels that no example has.
    """
    if not first.texts.equals(second.texts) or (first.pairs is None) != (second.pairs is None):
        return False
    if first.pairs is not None and not first.pairs.equals(second.pairs):
        return False
    names = sorted({*first.labels, *second.labels})
    return all(np.array_equal(_gold_of(first, name), _gold_of(second, name)) for name in names)


def _gold_of(predictions: Predictions, label: str) -> Truths:
    if label not in predictions.labels:
        return np.zeros(len(predictions.gold_EC), dtype=bool)
    return predictions.gold_EC[:, predictions.labels.index(label)]


def _table(split: str, predictions: Predictions) -> pa.Table:
    examples, classes = predictions.gold_EC.shape
    labels = pa.array(predictions.labels, pa.string())

    def label_lists(chosen_EC: Truths) -> pa.ListArray:
        offsets = np.append(0, np.cumsum(chosen_EC.sum(1))).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), labels.take(pa.array(np.nonzero(chosen_EC)[1])))

    probability = pa.array(np.ascontiguousarray(predictions.probability_EC, np.float32).reshape(-1))
    pairs = pa.nulls(examples, pa.string()) if predictions.pairs is None else predictions.pairs
    return pa.table(
        {
            "split": pa.array([split] * examples, pa.string()),
            "example": pa.array(np.arange(examples)),
            "text": predictions.texts,
            "pair": pairs,
            "gold": label_lists(predictions.gold_EC),
            "predicted": label_lists(predictions.predicted_EC),
            "probability": pa.FixedSizeListArray.from_arrays(probability, classes),
            "windows": pa.array(predictions.windows_E, pa.int32()),
            **{f"{SLICE}{name}": values.cast(pa.string()) for name, values in predictions.slices.items()},
        }
    )


def _from_table(
    table: pa.Table, labels: tuple[str, ...], thresholds: tuple[float, ...] | None, temperature: float
) -> Predictions:
    gold_EC, predicted_EC = (_indicate(table[name].combine_chunks(), labels) for name in ("gold", "predicted"))
    probability = table["probability"].combine_chunks().flatten().to_numpy()
    pairs = table["pair"].combine_chunks()
    return Predictions(
        texts=table["text"].combine_chunks(),
        pairs=None if pairs.null_count == len(pairs) else pairs,
        labels=labels,
        gold_EC=gold_EC,
        probability_EC=probability.reshape(len(table), len(labels)),
        predicted_EC=predicted_EC,
        windows_E=table["windows"].to_numpy().astype(np.int64),
        slices={
            name.removeprefix(SLICE): table[name].combine_chunks().dictionary_encode()
            for name in table.column_names
            if name.startswith(SLICE)
        },
        thresholds=thresholds,
        temperature=temperature,
    )


def _indicate(lists: pa.ListArray, labels: tuple[str, ...]) -> Truths:
    """Which labels each list holds; ValueError if it holds another."""
    index = pc.index_in(lists.flatten(), value_set=pa.array(labels, pa.string()))
    if index.null_count:
        raise ValueError("a row has a label that is not among those of the file")
    chosen_EC = np.zeros((len(lists), len(labels)), dtype=bool)
    chosen_EC[np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy()), index.to_numpy()] = True
    return chosen_EC
