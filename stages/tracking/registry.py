"""Makes versions of registered models, finds them again, and remembers what this checkout has registered."""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.artifacts import atomic_write, json_digest, parse_dataclass, read_json, write_json
from stages.errors import ArtifactError, RegistryError, UserError, first_line
from stages.tracking.client import SQLITE, connect, reachable, shown_uri, tracking_uri
from stages.tracking.event_log import EventLog
from stages.tracking.lineage_record import RECORD, LineageFiles, current_lineage, read_record
from stages.tracking.model_card import card
from stages.tracking.sync import FLOW_RUN_TAG, MADE, TRAIN_KEY_TAG, find_run, made_file, sync_event_log

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

MARKER = Path(".tuneline/registered.json")
STAGES = Path(__file__).parent.parent
SERVED_CODE = STAGES / "serving/pyfunc.py"
# What the served model imports; its environment pins these at the versions that are installed here.
SERVED_PACKAGES = (
    "mlflow", "numpy", "pyarrow", "pydantic", "ruamel.yaml", "safetensors", "torch", "transformers",
)  # fmt: skip

DIGEST_TAG = "tuneline.model_digest"
FILE_TAG = "tuneline.sha256."  # and the name of a file of the origin
CHALLENGER = "challenger"
CHAMPION = "champion"

log = logging.getLogger("register")


@dataclass(frozen=True)
class Registration:
    """A model version, where it is, and the run that made it."""

    tracking_uri: str
    name: str
    version: int
    model_digest: str
    mlflow_run: str


def read_marker() -> Registration | None:
    """The last registration made from this checkout, if its registry is the present one and still there."""
    if not MARKER.exists():
        return None
    try:
        registration = parse_dataclass(read_json(MARKER), Registration, MARKER)
    except UserError:
        return None  # registering once more mends it
    if registration.tracking_uri != shown_uri():
        return None
    database = registration.tracking_uri.removeprefix(SQLITE)
    if database != registration.tracking_uri and not Path(database).exists():
        return None
    return registration


def write_marker(registration: Registration) -> None:
    """Remember that this registry has this model. Not an output of a stage: another checkout's registry may lack it."""
    with atomic_write(MARKER) as path:
        write_json(path, asdict(registration))


def lineage_folder(name: str, record_digest: str) -> str:
    """Where the run of a model keeps the origin of its version of the registered model `name`.

    One of its own for each registration, of two at once too; `record_digest` stands among the tags of the version.
    """
    return f"origin/{name}/{record_digest[:12]}"


@dataclass(frozen=True)
class Made:
    """The folders that a model was made in, with their digests, and its training's record and scores."""

    folders: dict[str, Path]  # of tokenize, train and evaluate
    digests: dict[str, str]  # likewise; the model's is its identity
    training: dict[str, Any]  # training.json
    metrics: dict[str, Any]  # metrics.json


def register(name: str, made: Made) -> Registration:
    """Make a version of the registered model `name`, with the alias `challenger`, and keep with it all that made it.

    The same model is registered once, however often and by how many at a time this is called; a version that is
    champion keeps that alias alone. RegistryError if MLflow is away.
    """
    event_log = EventLog(made.training["train_key"])
    encoding = EventLog(made.digests["tokenize"], "tokenize")
    event_log.restore_from_model(made.folders["train"], made.training)
    event_log.log_metrics(made.metrics)
    run_id = sync_event_log(event_log, report=made.folders["evaluate"])
    if encoding.events():
        sync_event_log(encoding)
    model_digest = made.digests["train"]
    with reachable():
        client = connect()
        number = find_version(client, name, model_digest)
        if number is None:
            number = _first(client, name, model_digest, _new_version(client, run_id, name, made))
        if CHAMPION not in client.get_model_version(name, str(number)).aliases:
            client.set_registered_model_alias(name, CHALLENGER, str(number))
    return Registration(shown_uri(), name, number, model_digest, run_id)


def find_version(client: "MlflowClient", name: str, model_digest: str) -> int | None:
    """The number of the version of `name` that holds these very model files, if there is one."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{model_digest}'")
    return min((int(entry.version) for entry in found), default=None)


def find_registration(name: str, model_digest: str) -> Registration | None:
    """The registration of these model files in the present registry, as its challenger or champion.

    None if there is no such version, if a later one has become the challenger, or if the registry is away.
    """
    uri = tracking_uri()
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
        return None
    try:
        with reachable():
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
    """What is kept of how a version was made; UserError if it was not registered by Tuneline, or that was removed."""
    with _kept(client, version) as folder:
        return LineageFiles.read(folder)


def read_lineage_record(client: "MlflowClient", version: "ModelVersion") -> dict[str, Any]:
    """The record of an origin alone, likewise."""
    with _kept(client, version, RECORD) as path:
        return read_record(path)


@contextmanager
def _kept(client: "MlflowClient", version: "ModelVersion", *name: str) -> Iterator[Path]:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as work:
        try:
            place = "/".join((lineage_folder(version.name, version.tags.get(f"{FILE_TAG}{RECORD}", "")), *name))
            yield Path(client.download_artifacts(version.run_id or "", place, work))
        except (MlflowException, OSError, ArtifactError) as error:
            raise UserError(
                f"{version.name}/{version.version}: its MLflow run does not hold what made it ({first_line(error)}). "
                "Either it was registered by other means, or the run was changed."
            ) from None


def altered_files(version: "ModelVersion", origin: LineageFiles) -> list[str]:
    """The files of an origin that are not those that were registered, by the digests among the version's tags."""
    digests = origin.digests()
    wanted = {key.removeprefix(FILE_TAG): digest for key, digest in version.tags.items() if key.startswith(FILE_TAG)}
    return sorted(name for name in digests.keys() | wanted.keys() if digests.get(name) != wanted.get(name))


def _new_version(client: "MlflowClient", run_id: str, name: str, made: Made) -> int:
    """A version with its origin: the files of that first, so that no version is ever without them."""
    from mlflow.exceptions import MlflowException

    origin = _origin(client, run_id, made)
    for place in origin.record["outside"]:
        log.warning(
            "warning: neither git nor DVC keeps %s, so this model cannot be rebuilt elsewhere. "
            "`tuneline import` brings a corpus into the project; `dvc add` keeps any other folder that lies in it.",
            place,
        )
    with tempfile.TemporaryDirectory() as work:
        origin.write(Path(work) / "origin")
        client.log_artifacts(run_id, str(Path(work) / "origin"), lineage_folder(name, origin.digests()[RECORD]))
    logged = _logged_model(client, run_id, made) or _upload(run_id, made)
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
        tags=_tags(origin, made),
        description=card(name, made.training, made.metrics, origin.record),
    )
    return int(created.version)


def _first(client: "MlflowClient", name: str, model_digest: str, number: int) -> int:
    """The version that stays of those that several made of one model at the same moment; ours goes if it is another.

    Each looks after it has made its own, so of two at least one sees both, and the lowest number stays for both.
    """
    first = find_version(client, name, model_digest)
    assert first is not None
    if first != number:
        client.delete_model_version(name, str(number))
    return first


def _origin(client: "MlflowClient", run_id: str, made: Made) -> LineageFiles:
    encoding = find_run(client, EventLog(made.digests["tokenize"], "tokenize"))
    runs = {"tokenize": encoding and encoding.info.run_id, "train": run_id, "evaluate": run_id}
    made_by = {
        stage: run and _execution(client, run, made_file(stage, made.digests[stage])) for stage, run in runs.items()
    }
    return current_lineage(
        made_by,
        machine={key: made.training[key] for key in ("device", "precision", "threads")},
        train_key=made.training["train_key"],
        digest=made.digests["train"],
    )


def _execution(client: "MlflowClient", run_id: str, file: str) -> dict[str, Any] | None:
    """What a run says of how a stage was executed; None if it was executed where this store was never told."""
    if not any(found.path == file for found in client.list_artifacts(run_id, MADE)):
        return None
    with tempfile.TemporaryDirectory() as folder:
        return {"mlflow_run": run_id, **read_json(Path(client.download_artifacts(run_id, file, folder)))}


def _tags(origin: LineageFiles, made: Made) -> dict[str, str]:
    """What a version says of its origin without a look into its files; of those, the SHA-256."""
    record = origin.record
    facts = {
        DIGEST_TAG: made.digests["train"],
        TRAIN_KEY_TAG: made.training["train_key"],
        "tuneline.git_commit": record["git"]["commit"],
        "tuneline.git_dirty": json.dumps(record["git"]["dirty"]),
        "tuneline.rebuildable": json.dumps(record["rebuildable"]),
        "tuneline.data": json.dumps(origin.data_digests()),
        "tuneline.pretrained": made.training["parameters"]["model"]["sha256"],
        "tuneline.environment": json_digest(record["environment"]),
        FLOW_RUN_TAG: record["flow_run"],
        **{f"{FILE_TAG}{name}": digest for name, digest in origin.digests().items()},
    }
    return {key: value for key, value in facts.items() if value is not None}


def _logged_model(client: "MlflowClient", run_id: str, made: Made) -> "LoggedModel | None":
    """What a registration uploaded that was killed before it made a version of it, or that made one of another name."""
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    whole_ones = [
        each for each in found if each.status == "READY" and each.tags.get(DIGEST_TAG) == made.digests["train"]
    ]
    return whole_ones[0] if whole_ones else None


def _upload(run_id: str, made: Made) -> "LoggedModel":
    import mlflow

    mlflow.start_run(run_id=run_id)
    try:
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVED_CODE),
            artifacts={"model": str(made.folders["train"])},
            code_paths=[str(STAGES)],
            pip_requirements=[f"{package}=={_public_version(package)}" for package in SERVED_PACKAGES],
            metadata={DIGEST_TAG: made.digests["train"]},
            tags={DIGEST_TAG: made.digests["train"]},
        )
    finally:
        mlflow.end_run("FINISHED")  # as the training was, whatever happens to the upload
    assert logged.model_id is not None
    return mlflow.get_logged_model(logged.model_id)


def _public_version(package: str) -> str:
    """The installed version without a build's local part: the index knows no `2.13.0+cpu`."""
    return version(package).partition("+")[0]
