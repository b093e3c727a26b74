"""What the registry holds of a version beside its lineage: its task, its predictions, the labels of its model."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import ArtifactError, UserError
from stages.scoring import TaskParts
from stages.task import load_part
from stages.tracking.client import is_away
from stages.training.record import FIRST_TASK

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SPLIT = "test"
PREDICTIONS = "report/predictions.parquet"  # among the artifacts of a version's run
MODEL_FILES = "artifacts/model"  # within a logged model
CONFIG = "config.json"  # among these, in the Hugging Face layout
TASK_TAG = "tuneline.task"
PRIMARY_TAG = "tuneline.primary"  # the name of the primary score


def load_task(name: str, primary: str | None = None) -> TaskParts:
    """The parts of a task that pipeline and registry need; ParamsError, which lists the tasks, if there is none.

    Versions are compared by the score of the name `primary`, or else the task's first one.
    """
    scores = load_part(name, "scores.scoring")
    primary = primary or scores.PRIMARY
    return TaskParts(name, scores, load_part(name, "presentation"), scores.COMPARED_BY.get(primary, primary))


def load_version_task(version: "ModelVersion") -> TaskParts:
    """The task of a version; a version from before models named their task has the first one."""
    return load_task(version.tags.get(TASK_TAG, FIRST_TASK), version.tags.get(PRIMARY_TAG))


def load_common_task(version: "ModelVersion", other: "ModelVersion") -> TaskParts:
    """The task of two versions, with the primary score of the second; UserError if their tasks differ."""
    task, common = (load_version_task(each) for each in (version, other))
    if task.name != common.name:
        raise UserError(
            f"{_label(version)} and {_label(other)} cannot be compared: their tasks are {task.name} and {common.name}. "
            "Give the models of another task a name of their own: `tuneline run --set register.name=NAME`."
        )
    return common


def read_version_predictions(client: "MlflowClient", version: "ModelVersion") -> dict[str, Any]:
    """The predictions of a version's evaluation by split; UserError if they are gone or `SPLIT` is missing."""
    from mlflow.exceptions import MlflowException

    scores = load_version_task(version).scores
    with tempfile.TemporaryDirectory() as folder:
        try:
            splits = scores.read_predictions(Path(client.download_artifacts(version.run_id or "", PREDICTIONS, folder)))
        except (MlflowException, OSError, ArtifactError) as error:
            if is_away(error):
                raise
            raise UserError(f"{_label(version)} has no predictions that this Tuneline can read: {error}") from None
    if SPLIT not in splits:
        raise UserError(f"{_label(version)} has no predictions for {SPLIT}")
    return splits


def read_version_labels(client: "MlflowClient", version: "ModelVersion") -> set[str]:
    """The labels that a version's model knows, or else those in its predictions; UserError if both are gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    scores = load_version_task(version).scores
    config = f"models:/{version.name}/{version.version}/{MODEL_FILES}/{CONFIG}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            return scores.read_labels(Path(mlflow.artifacts.download_artifacts(config, dst_path=folder)))
        except (MlflowException, OSError, ArtifactError) as error:
            if is_away(error):
                raise
            splits = read_version_predictions(client, version).values()
            return {name for predictions in splits for name in scores.find_labels(predictions)}


def _label(version: "ModelVersion") -> str:
    return f"{version.name}/{version.version}"
