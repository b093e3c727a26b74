"""What a training has to tell MLflow, and the registration of its model. The one door of the recipes to mlflow.

A recipe writes to a journal, a local file, and asks to send it; what MLflow has not got is sent at the next chance, so
that no training fails because a server is down. One MLflow run belongs to one train key, whoever sends to it.
"""

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.artifacts import read_json, whole, write_json
from stages.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_STORE = "sqlite:///mlflow.db"
EXPERIMENT = "tuneline"
JOURNALS = Path(".tuneline/journal")
MARKER = Path(".tuneline/registered.json")
SERVED_CODE = Path(__file__).parent / "serving.py"
# What the served model imports; its environment pins these at the versions that are installed here.
SERVED_PACKAGES = (
    "mlflow",
    "numpy",
    "pyarrow",
    "pydantic",
    "ruamel.yaml",
    "safetensors",
    "seqeval",
    "torch",
    "transformers",
)

TRAIN_KEY_TAG = "tuneline.train_key"
DIGEST_TAG = "tuneline.model_digest"
CHALLENGER = "challenger"
CHAMPION = "champion"

METRICS_PER_CALL = 1000  # MLflow's limit for one log-batch call
PARAMS_PER_CALL = 100
FINAL = 0  # the step of figures that belong to no step; those of training count from 1
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


def read_marker() -> Registration | None:
    """The last registration made from this checkout, if its registry is the present one and still there."""
    if not MARKER.exists():
        return None
    registration = Registration(**read_json(MARKER))
    if registration.tracking_uri != tracking_uri():
        return None
    database = registration.tracking_uri.removeprefix("sqlite:///")
    if database != registration.tracking_uri and not Path(database).exists():
        return None
    return registration


def write_marker(registration: Registration) -> None:
    """Remember that this registry has this model. Not an output of a stage: another checkout's registry may lack it."""
    with whole(MARKER) as path:
        write_json(path, asdict(registration))


def step_metrics(step: dict[str, Any]) -> dict[str, float]:
    """The curves that one step of training adds a point to."""
    return {f"train/{name}": step[name] for name in ("loss", "learning_rate")}


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a/b": 1}`."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}/") if isinstance(value, dict) else {name: value}
    return leaves


class Journal:
    """The events of one training, a JSON line each, and how many of them each MLflow store has got."""

    def __init__(self, train_key: str) -> None:
        self.train_key = train_key
        self.path = JOURNALS / f"{train_key}.jsonl"
        self.sent_path = JOURNALS / f"{train_key}.sent.json"

    def exists(self) -> bool:
        """Whether this checkout has told anything of this training."""
        return self.path.exists()

    def begin(self, record: dict[str, Any]) -> None:
        """Start anew, with the parameters and datasets of the training (`record`: see train.py)."""
        JOURNALS.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.sent_path.unlink(missing_ok=True)
        machine = {f"machine/{name}": record[name] for name in ("device", "precision", "threads")}
        self._write("begin", parameters=flat(record["parameters"]) | machine, datasets=record["datasets"])

    def step(self, values: dict[str, float], step: int) -> None:
        """Points of curves."""
        self._write("metrics", values=values, step=step)

    def metrics(self, values: dict[str, float]) -> None:
        """Figures of the finished model; told again only if they differ from the last ones told."""
        told = [event["values"] for event in self._events() if event["kind"] == "metrics" and event["step"] == FINAL]
        if values not in told[-1:]:
            self._write("metrics", values=values, step=FINAL)

    def end(self) -> None:
        """The training is finished."""
        self._write("end")

    def send(self) -> str | None:
        """Send what the present MLflow store has not got; its run id, or None with a warning if it is away."""
        try:
            return self._send()
        except RegistryError as error:
            log.warning("warning: %s What it has to know is kept in %s and sent at the next chance.", error, self.path)
            return None

    def deliver(self) -> str:
        """As `send`, but a RegistryError if the store is away."""
        return self._send()

    def _write(self, kind: str, **fields: Any) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"kind": kind, "time": int(time.time() * 1000), **fields}) + "\n")

    def _events(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def _send(self) -> str:
        with reachable():
            return self._send_to(connect())

    def _send_to(self, client: "MlflowClient") -> str:
        events = self._events()
        sent = read_json(self.sent_path) if self.sent_path.exists() else {}
        run_id, finished = _run_of(client, self.train_key)
        unsent = events[sent.get(tracking_uri(), 0) :]
        if finished:
            # Another training of the same key told its curves already, and they are the same to the bit.
            unsent = [event for event in unsent if event["kind"] == "metrics" and event["step"] == FINAL]
        _tell(client, run_id, unsent)
        with whole(self.sent_path) as path:
            write_json(path, sent | {tracking_uri(): len(events)})
        return run_id


@contextmanager
def reachable() -> Iterator[None]:
    """Turn whatever a store or a server fails with, in the middle of a call too, into a RegistryError."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        raise RegistryError(f"MLflow at {tracking_uri()} failed: {str(error).splitlines()[0]}") from error


def connect() -> "MlflowClient":
    """A client of the present store; RegistryError at once if a server does not answer."""
    uri = tracking_uri()
    if urlsplit(uri).scheme in ("http", "https"):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=10).close()
        except (urllib.error.URLError, OSError) as error:
            raise RegistryError(
                f"MLflow at {uri} cannot be reached ({error}). Start it, or set MLFLOW_TRACKING_URI to another."
            ) from None
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's own 7 can hold a training up for minutes
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri)
    with reachable():
        return mlflow.MlflowClient()


def register(journal: Journal, *, name: str, model: Path, model_digest: str, report: Path) -> Registration:
    """Make a version of the registered model `name` from the folder `model`, with the alias `challenger`.

    The same digest is registered once, however often this is called. RegistryError if MLflow is away.
    """
    run_id = journal.deliver()
    with reachable():
        client = connect()
        number = find_version(client, name, model_digest) or _new_version(
            client,
            run_id,
            name=name,
            model=model,
            model_digest=model_digest,
            report=report,
            train_key=journal.train_key,
        )
        if CHAMPION not in client.get_model_version(name, str(number)).aliases:
            client.set_registered_model_alias(name, CHALLENGER, str(number))
    return Registration(tracking_uri(), name, number, model_digest, run_id)


def find_version(client: "MlflowClient", name: str, model_digest: str) -> int | None:
    """The number of the version of `name` that holds these very model files, if there is one."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{model_digest}'")
    return min((int(entry.version) for entry in found), default=None)


def _new_version(
    client: "MlflowClient", run_id: str, *, name: str, model: Path, model_digest: str, report: Path, train_key: str
) -> int:
    import mlflow
    from mlflow.exceptions import MlflowException

    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVED_CODE),
            artifacts={"model": str(model)},
            code_paths=[str(SERVED_CODE.parent)],
            pip_requirements=[f"{package}=={_public_version(package)}" for package in SERVED_PACKAGES],
            metadata={DIGEST_TAG: model_digest},
        )
        mlflow.log_artifacts(str(report), "report")
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
        tags={DIGEST_TAG: model_digest, TRAIN_KEY_TAG: train_key},
    )
    return int(created.version)


def _public_version(package: str) -> str:
    """The installed version without a build's local part: the index knows no `2.13.0+cpu`."""
    return version(package).partition("+")[0]


def _run_of(client: "MlflowClient", train_key: str) -> tuple[str, bool]:
    """The run of a train key and whether it is finished; created if there is none."""
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
        return found[0].info.run_id, found[0].info.status == "FINISHED"
    run = client.create_run(experiment_id, tags={TRAIN_KEY_TAG: train_key}, run_name=f"train-{train_key[:8]}")
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


def _dataset_inputs(datasets: dict[str, dict[str, Any]]) -> list[Any]:
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


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
