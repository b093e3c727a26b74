"""What a version said of test sentences: of those that it was scored on, and of those that another one was."""

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


def predictions_of(client: "MlflowClient", version: "ModelVersion") -> dict[str, Predictions]:
    """What a version said of each split when it was evaluated; UserError if that is gone, or lacks `SPLIT`."""
    from mlflow.exceptions import MlflowException

    label = f"{version.name}/{version.version}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            splits = read_predictions(Path(client.download_artifacts(version.run_id or "", PREDICTIONS, folder)))
        except (MlflowException, OSError, ArtifactError) as error:
            raise UserError(f"{label} has no predictions that this Tuneline reads: {error}") from None
    if SPLIT not in splits:
        raise UserError(f"{label} has no predictions for {SPLIT}")
    return splits


def scored_again(client: "MlflowClient", version: "ModelVersion", other: "ModelVersion") -> Predictions:
    """What a version says of the test sentences of another one; UserError if the files of either are gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            uri = f"models:/{version.name}/{version.version}"
            model = Path(mlflow.artifacts.download_artifacts(uri, dst_path=f"{folder}/model"))
            sentences = Path(client.download_artifacts(other.run_id or "", PREDICTIONS, folder))
        except (MlflowException, OSError) as error:
            raise UserError(f"{version.name}/{version.version} cannot be scored again: {error}") from None
        return predictions_on(model / MODEL_FILES, sentences, split=SPLIT)


def predictions_on(model: Path, sentences: Path, *, split: str) -> Predictions:
    """The model's predictions for the sentences, with their gold tags, of one split of a predictions.parquet.

    `model` is a folder as train writes it. It predicts in a child, since torch has no place here: a few seconds, and as
    long as evaluate takes for the split. UserError if the model cannot be loaded or the file holds no such split.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, params = Path(folder) / "predictions.parquet", Path(folder) / "rescore.json"
        section = {"model": str(model), "sentences": str(sentences), "split": split, "output": str(output)}
        params.write_text(json.dumps({"rescore": section}), encoding="utf-8")
        run_json("stages.tools.rescore", params, on_progress=lambda _: None)  # it draws no bar
        return read_predictions(output)[split]


def same_sentences(first: Predictions, second: Predictions) -> bool:
    """Whether both are of the same sentences with the same gold tags, in the same order."""
    return bool(first.words.equals(second.words)) and np.array_equal(first.gold.tags_W, second.gold.tags_W)


def f1_of(predictions: Predictions) -> tuple[float, dict[str, float]]:
    """Strict entity F1 over all types, and of each."""
    table = scores(predictions.gold, predictions.predicted)["entity_strict"]
    return table["micro"]["f1"], {name: row["f1"] for name, row in table["per_type"].items()}


def counts_of(predictions: Predictions) -> Numbers:
    """Correct, predicted and gold entities of each sentence, of shape (3, sentences)."""
    gold, predicted = predictions.gold.entities(strict=True), predictions.predicted.entities(strict=True)
    return np.stack(counts_by_sentence(gold, predicted, predictions.gold.sentences))
