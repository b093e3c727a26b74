from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import ArtifactError
from stages.tasks.token_classification.scores.entities import Tagging, taggings
from stages.tasks.token_classification.scores.predictions import Predictions, read_predictions, write_predictions


def predictions() -> dict[str, Predictions]:
    splits = {}
    for split, gold, predicted in (
        ("test", [["B-PER", "I-PER"], [], ["O"]], [["B-PER", "O"], [], ["O"]]),
        ("dev", [["B-LOC"]], [["B-LOC"]]),
    ):
        words = pa.array([[f"w{number}" for number in range(len(tags))] for tags in gold], pa.list_(pa.string()))
        count = sum(map(len, gold))
        splits[split] = Predictions(words, *taggings(gold, predicted), np.linspace(0, 1, count, dtype=np.float32))
    return splits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_predictions(tmp_path / "predictions.parquet", predictions())
    return tmp_path / "predictions.parquet"


def words(tagging: Tagging) -> list[str]:
    return [tagging.tags[index] for index in tagging.ids_W]


def test_predictions_are_read_as_they_were_written(path: Path) -> None:
    found = read_predictions(path)
    for split, expected in predictions().items():
        assert found[split].words.to_pylist() == expected.words.to_pylist()
        assert words(found[split].gold) == words(expected.gold)
        assert words(found[split].predicted) == words(expected.predicted)
        assert found[split].gold.bounds.tolist() == expected.gold.bounds.tolist()
        assert found[split].probability_W.tolist() == expected.probability_W.tolist()
    assert found.keys() == predictions().keys()


def test_a_row_has_the_counts_of_its_sentence(path: Path) -> None:
    rows = [row for row in pq.read_table(path).to_pylist() if row["split"] == "test"]
    assert [row["sentence"] for row in rows] == [0, 1, 2]
    assert [row["gold_entities"] for row in rows] == [1, 0, 0]
    assert [row["predicted_entities"] for row in rows] == [1, 0, 0]
    assert [row["correct_entities"] for row in rows] == [0, 0, 0]
    assert rows[0]["predicted"] == ["B-PER", "O"]


@pytest.mark.parametrize("metadata", [{"format_version": "1"}, {}])
def test_a_file_of_another_version_is_refused(path: Path, metadata: dict[str, str]) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(ArtifactError, match=r"has format version (1|none), this Tuneline reads 2\. Run `dvc repro"):
        read_predictions(path)


def test_a_damaged_or_missing_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtifactError, match="is damaged"):
        read_predictions(path)
    path.unlink()
    with pytest.raises(ArtifactError, match="no such file"):
        read_predictions(path)
