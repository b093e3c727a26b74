"""The file of predictions is read as it was written, and refused if it is not what was written."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import ArtifactError
from stages.tasks.text_classification.scores.predictions import (
    Predictions,
    read_predictions,
    same_examples,
    write_predictions,
)

LABELS = ("b", "a", "c")


def predictions(examples: int = 3, *, several: bool = True, pairs: bool = True) -> Predictions:
    generator = np.random.default_rng(examples)
    probability = generator.random((examples, 3)).astype(np.float32)
    gold = generator.random((examples, 3)) < 0.4 if several else np.arange(3) == generator.integers(0, 3, (examples, 1))
    return Predictions(
        texts=pa.array([f"text {number}" for number in range(examples)], pa.string()),
        pairs=pa.array([f"pair {number}" for number in range(examples)], pa.string()) if pairs else None,
        labels=LABELS,
        gold_EC=gold,
        probability_EC=probability,
        predicted_EC=probability > 0.5 if several else np.arange(3) == probability.argmax(1)[:, None],
        windows_E=np.arange(examples) + 1,
        slices={"region": pa.array(["x", None, "y", "x"][:examples], pa.string()).dictionary_encode()},
        thresholds=(0.25, 0.5, 0.75) if several else None,
        temperature=1.7,
    )


def plain(found: Predictions) -> dict[str, object]:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    values["slices"] = {name: column.to_pylist() for name, column in found.slices.items()}
    return {
        name: value.to_pylist()
        if isinstance(value, pa.Array)
        else value.tolist()
        if isinstance(value, np.ndarray)
        else value
        for name, value in values.items()
    }


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("pairs", [True, False])
def test_predictions_are_read_as_they_were_written(tmp_path: Path, several: bool, pairs: bool) -> None:
    splits = {"test": predictions(4, several=several, pairs=pairs), "dev": predictions(2, several=several, pairs=pairs)}
    write_predictions(tmp_path / "predictions.parquet", splits)
    found = read_predictions(tmp_path / "predictions.parquet")
    assert {split: plain(each) for split, each in found.items()} == {
        split: plain(each) for split, each in splits.items()
    }
    assert found["dev"].is_multi_label is several


def test_a_row_has_the_names_of_its_labels(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.parquet", {"test": predictions()})
    table = pq.read_table(tmp_path / "predictions.parquet")
    own = predictions()
    assert table["gold"].to_pylist() == [[LABELS[label] for label in np.flatnonzero(row)] for row in own.gold_EC]
    assert table["example"].to_pylist() == [0, 1, 2]
    assert table["slice:region"].to_pylist() == ["x", None, "y"]
    assert table.schema.field("probability").type.list_size == 3


@pytest.mark.parametrize("metadata", [{"format_version": "9"}, {}])
def test_a_file_of_another_version_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, {"test": predictions()})
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(ArtifactError, match=r"has format version (9|none), this Tuneline reads 1\. Run `dvc repro"):
        read_predictions(path)


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, {"test": predictions()})
    whole = path.read_bytes()
    metadata = pq.read_table(path).schema.metadata
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata | {b"labels": b'["a", "b"]'}), path)
    with pytest.raises(ArtifactError, match="is damaged"):
        read_predictions(path)
    pq.write_table(pq.read_table(path).drop_columns("probability"), path)
    with pytest.raises(ArtifactError, match="is damaged"):
        read_predictions(path)
    path.write_bytes(whole[:200])
    with pytest.raises(ArtifactError, match="is damaged"):
        read_predictions(path)
    path.unlink()
    with pytest.raises(ArtifactError, match="no such file"):
        read_predictions(path)


def test_the_same_examples_may_have_their_labels_in_another_order() -> None:
    own = predictions()
    order = [2, 0, 1]
    other = replace(own, labels=("c", "b", "a", "new"), gold_EC=np.pad(own.gold_EC[:, order], ((0, 0), (0, 1))))
    assert same_examples(own, other)
    assert same_examples(other, own)


def test_other_texts_pairs_or_gold_labels_are_other_examples() -> None:
    own = predictions()
    others = [
        replace(own, texts=pa.array(["text 0", "text 1", "text 3"])),
        replace(own, pairs=None),
        replace(own, pairs=pa.array(["pair 0", "pair 1", "pair 3"])),
        replace(own, gold_EC=~own.gold_EC),
        replace(own, labels=("a", "b", "c")),
        predictions(4),
    ]
    assert not any(same_examples(own, other) or same_examples(other, own) for other in others)
