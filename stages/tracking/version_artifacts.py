"""What the registry holds of a version beside its lineage: its predictions, and the types that its model knows."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import ArtifactError, UserError
from stages.tasks.token_classification.label_set import CONFIG, read_types, types_of
from stages.tasks.token_classification.predictions import Predictions, read_predictions
from stages.tracking.client import is_away

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
            if is_away(error):
                raise
            raise UserError(f"{label} has no predictions that this Tuneline can read: {error}") from None
    if SPLIT not in splits:
        raise UserError(f"{label} has no predictions for {SPLIT}")
    return splits


def read_version_types(client: "MlflowClient", version: "ModelVersion") -> set[str]:
    """The types that a version's model knows; those in its predictions if its files are gone, UserError if both are."""
    import mlflow
    from mlflow.exceptions import MlflowException

    config = f"models:/{version.name}/{version.version}/{MODEL_FILES}/{CONFIG}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            return read_types(Path(mlflow.artifacts.download_artifacts(config, dst_path=folder)))
        except (MlflowException, OSError, ArtifactError) as error:
            if is_away(error):
                raise
            splits = read_version_predictions(client, version).values()
            return {name for each in splits for name in types_of((*each.gold.tags, *each.predicted.tags))}
