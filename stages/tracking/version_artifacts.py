"""What the registry holds of a version: its lineage, its task, its predictions, the labels of its model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.artifacts import read_json
from stages.errors import ArtifactError, UserError, first_line
from stages.scoring import TaskParts
from stages.task import load_part
from stages.tracking.client import is_away
from stages.tracking.lineage_record import RECORD, LineageFiles, LineageRecord, read_record
from stages.tracking.parent import MODEL_FILES
from stages.training.record import FIRST_TASK

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SPLIT = "test"
PREDICTIONS, METRICS = "report/predictions.parquet", "report/metrics.json"  # among the artifacts of a version's run
CONFIG = "config.json"  # among these, in the Hugging Face layout
READS_PAIRS = "text_pair"  # in it: whether the model reads two texts at a time
TASK_TAG = "tuneline.task"
PRIMARY_TAG = "tuneline.primary"  # the name of the primary score
FILE_TAG = "tuneline.sha256."  # followed by the name of one of the lineage files


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


def lineage_folder(name: str, record_digest: str) -> str:
    """The artifact folder of a model's run that holds the lineage files of its version of the registered model `name`.

    Each registration has its own, even of two at the same time: `record_digest` is among the tags of the version.
    """
    return f"origin/{name}/{record_digest[:12]}"  # a name that registries store


def read_lineage(client: "MlflowClient", version: "ModelVersion") -> LineageFiles:
    """Download the lineage files of a version; UserError if Tuneline did not register it or they are missing."""
    with _download_lineage(client, version) as folder:
        return LineageFiles.read(folder)


def read_lineage_record(client: "MlflowClient", version: "ModelVersion") -> LineageRecord:
    """Download only the lineage record, with the same errors."""
    with _download_lineage(client, version, RECORD) as path:
        return read_record(path)


@contextmanager
def _download_lineage(client: "MlflowClient", version: "ModelVersion", *name: str) -> Iterator[Path]:
    """Hold a local copy of a version's lineage files, or of one of them; errors of the body are converted too."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as work:
        try:
            artifact = "/".join((lineage_folder(version.name, version.tags.get(f"{FILE_TAG}{RECORD}", "")), *name))
            yield Path(client.download_artifacts(version.run_id or "", artifact, work))
        except (MlflowException, OSError, ArtifactError) as error:
            if is_away(error):
                raise
            raise UserError(
                f"{version.name}/{version.version}: its MLflow run does not hold its lineage ({first_line(error)}). "
                "Either it was not registered by Tuneline, or the run was changed."
            ) from None


def altered_files(version: "ModelVersion", lineage: LineageFiles) -> list[str]:
    """The lineage files that were changed after the registration, by the digests among the version's tags."""
    digests = lineage.digests()
    wanted = {key.removeprefix(FILE_TAG): digest for key, digest in version.tags.items() if key.startswith(FILE_TAG)}
    return sorted(name for name in digests.keys() | wanted.keys() if digests.get(name) != wanted.get(name))


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


def read_version_metrics(client: "MlflowClient", version: "ModelVersion") -> dict[str, Any]:
    """The metrics.json of a version's evaluation; UserError if it is gone."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            return read_json(Path(client.download_artifacts(version.run_id or "", METRICS, folder)))
        except (MlflowException, OSError, ArtifactError) as error:
            if is_away(error):
                raise
            raise UserError(f"{_label(version)} has no scores that can be read: {first_line(error)}") from None


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
