"""Sends journals to MLflow and registers models. The one door of the recipes to mlflow.

One MLflow run belongs to one train key, whoever sends to it. What a store has not got is sent at the next chance.
"""

import fcntl
import json
import logging
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.artifacts import as_record, read_json, whole, write_json
from stages.errors import RegistryError, UserError, first_line
from stages.journal import FINAL, Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

SQLITE = "sqlite:///"
DEFAULT_STORE = f"{SQLITE}mlflow.db"
EXPERIMENT = "tuneline"
MARKER = Path(".tuneline/registered.json")
DATABASE_LOCK = Path(".tuneline/mlflow.lock")
SERVED_CODE = Path(__file__).parent / "serving.py"
# What the served model imports; its environment pins these at the versions that are installed here.
SERVED_PACKAGES = (
    "mlflow", "numpy", "pyarrow", "pydantic", "ruamel.yaml", "safetensors", "torch", "transformers",
)  # fmt: skip

TRAIN_KEY_TAG = "tuneline.train_key"
TOLD_TAG = "tuneline.told"  # set once a run has all of its training
DIGEST_TAG = "tuneline.model_digest"
FLOW_RUN_TAG = "prefect.flow_run_id"
FLOW_RUN = "TUNELINE_FLOW_RUN"  # the variable by which a flow tells its stage
CHALLENGER = "challenger"
CHAMPION = "champion"

SEND_EVERY = 10  # seconds
PATIENCE = 60  # seconds that a training waits at its end for its last figures to be sent
HURRY = 5  # seconds that it waits when it was stopped or failed
METRICS_PER_CALL = 1000  # MLflow's limit for one log-batch call
PARAMS_PER_CALL = 100
DIGEST_CHARACTERS = 36  # the longest digest that MLflow keeps for a dataset

log = logging.getLogger("tracking")


@dataclass(frozen=True)
class Registration:
    """A model version, where it is, and the run that made it."""

    tracking_uri: str
    name: str
    version: int
    model_digest: str
    mlflow_run: str


def tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, or a SQLite file at the root of the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def shown_uri() -> str:
    """The tracking URI without a password, for messages."""
    return re.sub(r"(?<=://)[^/@]*@", "***@", tracking_uri())


def read_marker() -> Registration | None:
    """The last registration made from this checkout, if its registry is the present one and still there."""
    if not MARKER.exists():
        return None
    try:
        registration = as_record(read_json(MARKER), Registration, MARKER)
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
    with whole(MARKER) as path:
        write_json(path, asdict(registration))


@contextmanager
def live(journal: Journal) -> Iterator[None]:
    """Within, a process of its own sends what the journal gains, every few seconds, and the rest at the end.

    A slow or absent server holds nothing up; what it has not got after a while is sent at the next chance.
    """
    sender = subprocess.Popen(
        [sys.executable, "-m", "stages.tracking", journal.train_key], stdin=subprocess.PIPE, start_new_session=True
    )
    patience = HURRY
    try:
        yield
        patience = PATIENCE
    finally:
        assert sender.stdin is not None
        sender.stdin.close()  # by which it knows that this process has ended, however it did
        try:
            sender.wait(patience)
        except subprocess.TimeoutExpired:
            sender.kill()
            sender.wait()
            log.warning(
                "warning: MLflow at %s is slow; the journal %s is sent at the next chance.", shown_uri(), journal.path
            )


def send_live(train_key: str, ended: IO[str]) -> None:
    """Send the journal of a training again and again until `ended`, a pipe that its process holds, is closed."""
    journal = Journal(train_key)
    warned = False
    while not select.select([ended], [], [], SEND_EVERY)[0]:
        try:
            deliver(journal)
            warned = False
        except Exception as error:
            if not warned:
                log.warning("warning: MLflow at %s does not answer (%s); trying on.", shown_uri(), first_line(error))
            warned = True
    send(journal)


def send(journal: Journal, *, report: Path | None = None) -> None:
    """As `deliver`, but whatever goes wrong is a warning, for the results are safe."""
    try:
        deliver(journal, report=report)
    except Exception as error:  # a training of hours must not be lost to a wrong port or a missing driver
        log.warning(
            "warning: MLflow at %s was not told (%s). The journal %s is sent at the next chance.",
            shown_uri(),
            first_line(error),
            journal.path,
        )


def deliver(journal: Journal, *, report: Path | None = None) -> str:
    """Send what the present MLflow store has not got, and the folder `report`; return the id of the run.

    RegistryError if the store is away.
    """
    with journal.locked(), reachable():
        client = connect()
        run_id, told = _run_of(client, journal.train_key)
        events = journal.events()
        unsent = events[journal.sent(run_id) :]
        if told:
            # It was told from another checkout, or by an earlier training of this key, and the curves are the same.
            unsent = [event for event in unsent if event["kind"] == "metrics" and event["step"] == FINAL]
        _tell(client, run_id, unsent)
        journal.mark_sent(run_id, len(events))
        if report is not None:
            client.log_artifacts(run_id, str(report), "report")
        return run_id


def register(journal: Journal, *, name: str, model: Path, model_digest: str, report: Path) -> Registration:
    """Make a version of the registered model `name` from the folder `model`, with the alias `challenger`.

    The same digest is registered once, however often this is called; a version that is champion keeps that alias
    alone. RegistryError if MLflow is away.
    """
    run_id = deliver(journal, report=report)
    with reachable():
        client = connect()
        tags = {DIGEST_TAG: model_digest, TRAIN_KEY_TAG: journal.train_key}
        number = find_version(client, name, model_digest) or _new_version(
            client, run_id, name=name, model=model, tags=tags
        )
        if CHAMPION not in client.get_model_version(name, str(number)).aliases:
            client.set_registered_model_alias(name, CHALLENGER, str(number))
    return Registration(shown_uri(), name, number, model_digest, run_id)


@contextmanager
def reachable() -> Iterator[None]:
    """Turn whatever a store or a server fails with, in the middle of a call too, into a RegistryError."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, ImportError) as error:
        raise RegistryError(
            f"MLflow at {shown_uri()} failed: {first_line(error)}. Start it, or set MLFLOW_TRACKING_URI to another."
        ) from error


def connect() -> "MlflowClient":
    """A client of the present store; call it within `reachable`. A server that does not answer fails at once."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's own 7 can hold a training up for minutes
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    import requests
    from sqlalchemy import create_engine

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = tracking_uri()
    if urlsplit(uri).scheme in ("http", "https"):
        requests.get(f"{uri.rstrip('/')}/health", timeout=10)
    elif uri.startswith(SQLITE):
        _make_database(Path(uri.removeprefix(SQLITE)))
    elif "://" in uri:
        with create_engine(uri).connect():  # MLflow would try for minutes
            pass
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient()


def _make_database(path: Path) -> None:
    """Make the tables of a SQLite store aside: MLflow cannot mend a file in which it was killed while it made them."""
    from mlflow import MlflowClient

    DATABASE_LOCK.parent.mkdir(parents=True, exist_ok=True)
    with DATABASE_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with whole(path) as temporary:
                MlflowClient(f"{SQLITE}{temporary}").search_experiments(max_results=1)


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


def _new_version(client: "MlflowClient", run_id: str, *, name: str, model: Path, tags: dict[str, str]) -> int:
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.start_run(run_id=run_id)
    try:
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVED_CODE),
            artifacts={"model": str(model)},
            code_paths=[str(SERVED_CODE.parent)],
            pip_requirements=[f"{package}=={_public_version(package)}" for package in SERVED_PACKAGES],
            metadata={DIGEST_TAG: tags[DIGEST_TAG]},
        )
    finally:
        mlflow.end_run("FINISHED")  # as the training was, whatever happens to the upload
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name, source=logged.model_uri, run_id=run_id, model_id=logged.model_id, tags=tags
    )
    return int(created.version)


def _public_version(package: str) -> str:
    """The installed version without a build's local part: the index knows no `2.13.0+cpu`."""
    return version(package).partition("+")[0]


def _run_of(client: "MlflowClient", train_key: str) -> tuple[str, bool]:
    """The run of a train key, and whether it has all of its training; created if there is none."""
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    if client.get_experiment_by_name(name) is None:
        with suppress(MlflowException):  # somebody else was faster
            client.create_experiment(name)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    experiment_id = experiment.experiment_id
    found = client.search_runs([experiment_id], f"tags.`{TRAIN_KEY_TAG}` = '{train_key}'", max_results=1)
    if found:
        return found[0].info.run_id, TOLD_TAG in found[0].data.tags
    tags = {TRAIN_KEY_TAG: train_key}
    if FLOW_RUN in os.environ:
        tags[FLOW_RUN_TAG] = os.environ[FLOW_RUN]
    run = client.create_run(experiment_id, tags=tags, run_name=f"train-{train_key[:8]}")
    return run.info.run_id, False


def _tell(client: "MlflowClient", run_id: str, events: list[dict[str, Any]]) -> None:
    """Send events in few calls; sending one twice changes nothing."""
    from mlflow.entities import Metric, Param

    begin = [event for event in events if event["kind"] == "begin"]
    parameters = [Param(key, str(value)) for event in begin for key, value in event["parameters"].items()]
    metrics = [
        Metric(key, float(value), event["time"], event["step"])
        for event in events
        if event["kind"] == "metrics"
        for key, value in event["values"].items()
    ]
    for chunk in _chunks(parameters, PARAMS_PER_CALL):
        client.log_batch(run_id, params=chunk)
    for event in begin:
        client.log_inputs(run_id, _dataset_inputs(event["datasets"]))
    for chunk in _chunks(metrics, METRICS_PER_CALL):
        client.log_batch(run_id, metrics=chunk)
    if any(event["kind"] == "end" for event in events):
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, TOLD_TAG, "true")


def _dataset_inputs(datasets: dict[str, dict[str, Any]]) -> list["DatasetInput"]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=f"encoded/{split}",
                digest=fields["digest"][:DIGEST_CHARACTERS],
                source_type="local",
                source=json.dumps({"uri": f"data/encoded/{split}.arrow", "sha256": fields["digest"]}),
                profile=json.dumps({key: value for key, value in fields.items() if key != "digest"}),
            ),
            [InputTag("mlflow.data.context", split)],
        )
        for split, fields in datasets.items()
    ]


def _chunks(items: list[Any], count: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), count):
        yield items[start : start + count]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    send_live(sys.argv[1], sys.stdin)
