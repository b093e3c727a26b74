"""Registers model versions with their lineage, finds them, and remembers the last registration of this checkout."""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.artifacts import atomic_write, json_digest, parse_dataclass, read_json, write_json
from stages.errors import ArtifactError, RegistryError, UserError, first_line
from stages.task import TASKS
from stages.tracking.client import connect, database_file, is_away, shown_uri, tracking_uri, translate_errors
from stages.tracking.environment import Execution
from stages.tracking.event_log import EventLog
from stages.tracking.lineage_record import (
    RECORD,
    LineageFiles,
    LineageRecord,
    current_lineage,
    read_execution,
    read_record,
)
from stages.tracking.model_card import write_card
from stages.tracking.sync import (
    EXECUTIONS,
    FLOW_RUN_TAG,
    TRAIN_KEY_TAG,
    execution_file,
    find_run,
    resolve_links,
    sync_event_log,
)
from stages.tracking.version_artifacts import PRIMARY_TAG, SPLIT, TASK_TAG, load_task
from stages.training.history import read_history
from stages.training.record import TrainingRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

MARKER = Path(".tuneline/registered.json")  # in the folder of a pipeline
STAGES = Path(__file__).parent.parent
SERVED_CODE = "service/pyfunc.py"  # in the folder of a task
# The packages that the served model imports; its environment pins them at the installed versions.
SERVED_PACKAGES = (
    "mlflow", "numpy", "pyarrow", "pydantic", "regex", "ruamel.yaml", "safetensors", "torch", "transformers",
)  # fmt: skip

DIGEST_TAG = "tuneline.model_digest"
DATA_TAG = "tuneline.data"  # the digest of each file or folder of the corpus, as JSON
FILE_TAG = "tuneline.sha256."  # followed by the name of one of the lineage files
CHALLENGER = "challenger"
CHAMPION = "champion"

log = logging.getLogger("register")


@dataclass(frozen=True)
class Registration:
    """A model version, its registry, and the MLflow run of its training."""

    tracking_uri: str
    name: str
    version: int
    model_digest: str
    mlflow_run: str


def read_marker(pipeline: Path = Path()) -> Registration | None:
    """The last registration from the pipeline in this folder, if its registry is the current one and still exists."""
    marker = pipeline / MARKER
    if not marker.exists():
        return None
    try:
        registration = parse_dataclass(read_json(marker), Registration, marker)
    except UserError:
        return None  # the next registration writes it again
    if registration.tracking_uri != shown_uri():
        return None
    database = database_file(registration.tracking_uri)
    return None if database and not database.exists() else registration


def write_marker(registration: Registration, pipeline: Path = Path()) -> None:
    """Remember that this registry has the model of the pipeline in this folder.

    It is no output of a stage, since another registry may not have the model.
    """
    with atomic_write(pipeline / MARKER) as path:
        write_json(path, asdict(registration))


def lineage_folder(name: str, record_digest: str) -> str:
    """The artifact folder of a model's run that holds the lineage files of its version of the registered model `name`.

    Each registration has its own, even of two at the same time: `record_digest` is among the tags of the version.
    """
    return f"origin/{name}/{record_digest[:12]}"  # a name that registries store


@dataclass(frozen=True)
class TrainedModel:
    """A model that can be registered: the output folders of its stages, their digests, training record and scores.

    `pipeline` is the folder of its pipeline, from the root of the repository.
    """

    pipeline: Path
    folders: dict[str, Path]  # by stage: tokenize, train and evaluate
    digests: dict[str, str]  # likewise; that of train identifies the model
    training: TrainingRecord
    metrics: dict[str, Any]  # metrics.json


def register(name: str, model: TrainedModel) -> Registration:
    """Create a version of the registered model `name` with its lineage, and give it the alias `challenger`.

    The same model is registered once, even by several calls at the same time. A version that is champion gets no
    further alias. RegistryError if MLflow does not answer.
    """
    training = model.training
    event_log = EventLog(training.train_key)
    encoding = EventLog(model.digests["tokenize"], "tokenize")
    history = read_history(model.folders["train"], training.dev_score)
    event_log.restore_from_model(training.logged_parameters, training.datasets, [entry.to_json() for entry in history])
    event_log.log_metrics(model.metrics)
    run_id = sync_event_log(event_log, report=model.folders["evaluate"])
    if encoding.events():
        sync_event_log(encoding)
    model_digest = model.digests["train"]
    with translate_errors():
        client = connect()
        number = find_version(client, name, model_digest)
        if number is None:
            number = _keep_first(client, name, model_digest, _create_version(client, run_id, name, model))
        if CHAMPION not in client.get_model_version(name, str(number)).aliases:
            client.set_registered_model_alias(name, CHALLENGER, str(number))
    return Registration(shown_uri(), name, number, model_digest, run_id)


def find_version(client: "MlflowClient", name: str, model_digest: str) -> int | None:
    """The number of the version of `name` whose model files have this digest, if there is one."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{model_digest}'")
    return min((int(entry.version) for entry in found), default=None)


def find_registration(name: str, model_digest: str) -> Registration | None:
    """The registration of these model files in the current registry, if it is challenger or champion there.

    None also if the registry does not answer.
    """
    database = database_file(tracking_uri())
    if database and not database.exists():
        return None
    try:
        with translate_errors():
            client = connect()
            number = find_version(client, name, model_digest)
            if number is None:
                return None
            found = client.get_model_version(name, str(number))
    except RegistryError:
        return None
    if not {CHALLENGER, CHAMPION} & set(found.aliases):
        return None
    return Registration(shown_uri(), name, number, model_digest, found.run_id or "")


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


def _create_version(client: "MlflowClient", run_id: str, name: str, model: TrainedModel) -> int:
    """Create a version; its lineage files are uploaded first, so that no version is ever without them."""
    from mlflow.exceptions import MlflowException

    lineage = _collect_lineage(client, run_id, model)
    if lineage.record.git.reason:
        log.warning("warning: no commit is recorded (%s), so this model cannot be rebuilt.", lineage.record.git.reason)
    for path in lineage.record.outside:
        log.warning(
            "warning: neither git nor DVC tracks %s, so this model cannot be rebuilt elsewhere. "
            "`tuneline import` copies a corpus into the project; `dvc add` tracks any other folder in it.",
            path,
        )
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "lineage"
        lineage.write(folder)
        client.log_artifacts(run_id, str(folder), lineage_folder(name, lineage.digests()[RECORD]))
    logged = _find_upload(client, run_id, model) or _upload(run_id, model)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name,
        source=logged.model_uri,
        run_id=run_id,
        model_id=logged.model_id,
        tags=_version_tags(lineage, model),
        description=write_card(name, model.training, model.metrics, lineage.record, load_task(model.training.task)),
    )
    return int(created.version)


def _keep_first(client: "MlflowClient", name: str, model_digest: str, number: int) -> int:
    """Of the versions that concurrent registrations made of one model keep the first: delete ours if it is another.

    Each looks after it has created its own, so of two at least one sees both, and both keep the lowest number.
    """
    first = find_version(client, name, model_digest)
    assert first is not None
    if first != number:
        client.delete_model_version(name, str(number))
    return first


def _collect_lineage(client: "MlflowClient", run_id: str, model: TrainedModel) -> LineageFiles:
    encoding = find_run(client, EventLog(model.digests["tokenize"], "tokenize"))
    runs = {"train": run_id, "evaluate": run_id} | ({"tokenize": encoding.info.run_id} if encoding else {})
    made_by = {
        stage: _read_execution(client, run, execution_file(stage, model.digests[stage])) for stage, run in runs.items()
    }
    return current_lineage(
        made_by,
        pipeline=model.pipeline,
        **model.training.machine,
        train_key=model.training.train_key,
        digest=model.digests["train"],
    )


def _read_execution(client: "MlflowClient", run_id: str, file: str) -> Execution | None:
    """The execution of a stage as its run has it; None if it was never synced to this store."""
    if not any(found.path == file for found in client.list_artifacts(run_id, EXECUTIONS)):
        return None
    with tempfile.TemporaryDirectory() as folder:
        execution = read_execution(Path(client.download_artifacts(run_id, file, folder)))
    return replace(execution, mlflow_run=run_id)


def _version_tags(lineage: LineageFiles, model: TrainedModel) -> dict[str, str]:
    """The main facts of the lineage, which can be read without its files, and the SHA-256 of each file."""
    record = lineage.record
    scores = load_task(model.training.task).scores
    facts = {
        DIGEST_TAG: model.digests["train"],
        TASK_TAG: model.training.task,
        PRIMARY_TAG: scores.find_primary(model.metrics[SPLIT])["name"],
        TRAIN_KEY_TAG: record.train_key,
        "tuneline.git_commit": record.git.commit,
        "tuneline.git_dirty": json.dumps(record.git.dirty),
        "tuneline.rebuildable": json.dumps(record.rebuildable),
        DATA_TAG: json.dumps(lineage.data_digests()),
        "tuneline.pretrained": model.training.parameters["model"]["sha256"],
        "tuneline.environment": json_digest(asdict(record.environment)),
        FLOW_RUN_TAG: record.flow_run,
        **{f"{FILE_TAG}{name}": digest for name, digest in lineage.digests().items()},
    }
    return {key: value for key, value in facts.items() if value is not None}


def _find_upload(client: "MlflowClient", run_id: str, model: TrainedModel) -> "LoggedModel | None":
    """An earlier upload of this model: of a registration that was killed, or of a version with another name."""
    experiment = client.get_run(run_id).info.experiment_id
    uploads = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    complete = [
        each for each in uploads if each.status == "READY" and each.tags.get(DIGEST_TAG) == model.digests["train"]
    ]
    return complete[0] if complete else None


def _upload(run_id: str, model: TrainedModel) -> "LoggedModel":
    import mlflow

    mlflow.start_run(run_id=run_id)
    try:
        with resolve_links(model.folders["train"]) as folder:
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(TASKS / model.training.task / SERVED_CODE),
                artifacts={"model": str(folder)},
                code_paths=[str(STAGES)],
                pip_requirements=[f"{package}=={_public_version(package)}" for package in SERVED_PACKAGES],
                metadata={DIGEST_TAG: model.digests["train"]},
                tags={DIGEST_TAG: model.digests["train"]},
            )
    finally:
        mlflow.end_run("FINISHED")  # the status of the training run, whether or not the upload succeeds
    assert logged.model_id is not None
    return mlflow.get_logged_model(logged.model_id)


def _public_version(package: str) -> str:
    """The installed version without a build's local part: the package index has no `2.13.0+cpu`."""
    return version(package).partition("+")[0]
