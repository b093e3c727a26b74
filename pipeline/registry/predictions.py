"""The predictions of registered versions for test sentences: recorded ones, and of a version rescored on others."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.checkout.processes import run_json
from stages.errors import ArtifactError, UserError
from stages.tasks.token_classification.entities import Numbers
from stages.tasks.token_classification.metric import counts_by_sentence, scores
from stages.tasks.token_classification.predictions import Predictions, read_predictions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SPLIT = "test"
PREDICTIONS = "report/predictions.parquet"  # among the artifacts of a version's run
MODEL_FILES = "artifacts/model"  # within a logged model


def read_version_predictions(client: "MlflowClient", version: "ModelVersion") -> dict[str, Predictions]:
    """The predictions of a version's evaluation by split; UserError if they are gone or `SPLIT` is missing."""
    from mlflow.exceptions import MlflowException

    label = f"{version.name}/{version.version}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            splits = read_predictions(Path(client.download_artifacts(version.run_id or "", PREDICTIONS, folder)))
        except (MlflowException, OSError, ArtifactError) as error:
            raise UserError(f"{label} has no predictions that this Tuneline can read: {error}") from None
    if SPLIT not in splits:
        raise UserError(f"{label} has no predictions for {SPLIT}")
    return splits


def rescore_version(client: "MlflowClient", version: "ModelVersion", other: "ModelVersion") -> Predictions:
    """Predict the test sentences of another version; UserError if the files of either are gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            uri = f"models:/{version.name}/{version.version}"
            model = Path(mlflow.artifacts.download_artifacts(uri, dst_path=f"{folder}/model"))
            sentences = Path(client.download_artifacts(other.run_id or "", PREDICTIONS, folder))
        except (MlflowException, OSError) as error:
            raise UserError(f"{version.name}/{version.version} cannot be rescored: {error}") from None
        return rescore_split(model / MODEL_FILES, sentences, split=SPLIT)


def rescore_split(model: Path, sentences: Path, *, split: str) -> Predictions:
    """Predict the sentences of one split of a predictions.parquet, which has their gold tags, with another model.

    `model` is a folder as train writes it. A child process predicts, since `pipeline` does not import torch; it takes a
    few seconds more than evaluate for the split. UserError if the model cannot be loaded or there is no such split.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, params = Path(folder) / "predictions.parquet", Path(folder) / "rescore.json"
        section = {"model": str(model), "sentences": str(sentences), "split": split, "output": str(output)}
        params.write_text(json.dumps({"rescore": section}), encoding="utf-8")
        run_json("stages.tools.rescore", params, on_progress=lambda _: None)  # it reports no progress
        return read_predictions(output)[split]


def have_same_sentences(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same sentences with the same gold tags, in the same order."""
    return bool(first.words.equals(second.words)) and np.array_equal(first.gold.tags_W, second.gold.tags_W)


def compute_f1(predictions: Predictions) -> tuple[float, dict[str, float]]:
    """Strict entity F1 over all types, and by type."""
    table = scores(predictions.gold, predictions.predicted)["entity_strict"]
    return table["micro"]["f1"], {name: row["f1"] for name, row in table["per_type"].items()}


def count_entities(predictions: Predictions) -> Numbers:
    """Correct, predicted and gold entities by sentence, of shape (3, sentences)."""
    gold, predicted = predictions.gold.entities(strict=True), predictions.predicted.entities(strict=True)
    return np.stack(counts_by_sentence(gold, predicted, predictions.gold.sentences))
