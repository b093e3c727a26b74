"""Registers model versions with their lineage, finds them, and remembers the last registration of this checkout."""

import json
import logging
import tempfile
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.artifacts import atomic_write, json_digest, parse_dataclass, read_json, write_json
from stages.errors import RegistryError, UserError
from stages.task import TASKS
from stages.tracking.client import connect, database_file, shown_uri, tracking_uri, translate_errors
from stages.tracking.environment import Execution
from stages.tracking.event_log import EventLog
from stages.tracking.lineage_record import (
    RECORD,
    LineageFiles,
    current_lineage,
    read_execution,
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
from stages.tracking.version_artifacts import (
    CONFIG,
    FILE_TAG,
    PRIMARY_TAG,
    READS_PAIRS,
    SPLIT,
    TASK_TAG,
    lineage_folder,
    load_task,
)
from stages.training.history import read_history
from stages.training.record import TrainingRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

MARKER = Path(".tuneline/registered.json")  # in the folder of a pipeline
STAGES = Path(__file__).parent.parent
SERVED_CODE = "service/pyfunc.py"  # in the folder of a task
# The packages that the served model imports; its environment pins them at the installed versions.
SERVED_PACKAGES = (
    "mlflow", "numpy", "pyarrow", "pydantic", "regex", "safetensors", "scipy", "tokenizers", "torch", "transformers",
)  # fmt: skip

DIGEST_TAG = "tuneline.model_digest"
DATA_TAG = "tuneline.data"  # the digest of each file or folder of the corpus, as JSON
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

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json."""
        return read_json(self.folders["train"] / CONFIG)


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
        description=write_card(
            name,
            training=model.training,
            config=model.config,
            metrics=model.metrics,
            record=lineage.record,
            task=load_task(model.training.task),
        ),
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
                **describe_served(folder, model.training.task),
                metadata={DIGEST_TAG: model.digests["train"]},
                tags={DIGEST_TAG: model.digests["train"]},
            )
    finally:
        mlflow.end_run("FINISHED")  # the status of the training run, whether or not the upload succeeds
    assert logged.model_id is not None
    return mlflow.get_logged_model(logged.model_id)


def describe_served(folder: Path, task: str) -> dict[str, Any]:
    """What MLflow's log_model and save_model need to serve the model in `folder`, a copy of data/model.

    From the hints in the task's code and from the example MLflow derives the model's signature.
    """
    config, presentation = read_json(folder / CONFIG), load_task(task).presentation
    sample, params = [presentation.make_sample(config)], presentation.SERVING_PARAMS
    return {
        "python_model": str(TASKS / task / SERVED_CODE),
        "model_config": {READS_PAIRS: config.get(READS_PAIRS, False)},  # for which inputs the code has a hint
        "input_example": (sample, dict(params)) if params else sample,
        "artifacts": {"model": str(folder)},
        "code_paths": [str(STAGES)],
        "pip_requirements": [f"{package}=={_public_version(package)}" for package in SERVED_PACKAGES],
    }


def _public_version(package: str) -> str:
    """The installed version without a build's local part: the package index has no `2.13.0+cpu`."""
    return version(package).partition("+")[0]
