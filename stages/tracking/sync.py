"""Finds MLflow and sends journals to it. With stages/tracking/registry.py, the door of the recipes to mlflow.

One MLflow run belongs to one journal's key, whoever sends to it. What a store has not got is sent at the next chance.
"""

import importlib
import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from stages.errors import first_line
from stages.tracking.client import connect, reachable, shown_uri
from stages.tracking.environment import FLOW_RUN
from stages.tracking.event_log import FINAL, EventLog, Kind

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

EXPERIMENT = "tuneline"

TRAIN_KEY_TAG = "tuneline.train_key"
ENCODED_TAG = "tuneline.encoded"
KEY_TAGS = {"train": TRAIN_KEY_TAG, "tokenize": ENCODED_TAG}
MADE = "made"  # the folder of a run in which each of its stages says how it was made
COMPLETE_TAG = "tuneline.complete"  # set once a run has all of its training
FLOW_RUN_TAG = "prefect.flow_run_id"

SEND_EVERY = 10  # seconds
PATIENCE = 60  # seconds that a training waits at its end for its last figures to be sent
HURRY = 5  # seconds that it waits when it was stopped or failed
METRICS_PER_CALL = 1000  # MLflow's limit for one log-batch call
PARAMS_PER_CALL = 100
DIGEST_CHARACTERS = 36  # the longest digest that MLflow keeps for a dataset

log = logging.getLogger("tracking")


@contextmanager
def sync_live(event_log: EventLog) -> Iterator[None]:
    """Within, a process of its own sends what the event_log gains, every few seconds, and the rest at the end.

    A slow or absent server holds nothing up; what it has not got after a while is sent at the next chance.
    """
    sender = subprocess.Popen(
        [sys.executable, "-m", "stages.tracking.sync", event_log.key, event_log.kind],
        stdin=subprocess.PIPE,
        start_new_session=True,
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
                "warning: MLflow at %s is slow; the event_log %s is sent at the next chance.",
                shown_uri(),
                event_log.path,
            )


def sync_until_closed(event_log: EventLog, ended: IO[str]) -> None:
    """Send a event_log again and again until `ended`, a pipe that the process of the stage holds, is closed."""
    with suppress(ImportError):  # which is said when it is sent
        importlib.import_module("mlflow")  # seconds, in which the stage is at work
    warned = False
    while not select.select([ended], [], [], SEND_EVERY)[0]:
        try:
            sync_event_log(event_log)
            warned = False
        except Exception as error:
            if not warned:
                log.warning("warning: MLflow at %s does not answer (%s); trying on.", shown_uri(), first_line(error))
            warned = True
    try_sync(event_log)


def try_sync(event_log: EventLog, *, report: Path | None = None) -> None:
    """As `sync_event_log`, but whatever goes wrong is a warning, for the results are safe."""
    try:
        sync_event_log(event_log, report=report)
    except Exception as error:  # a training of hours must not be lost to a wrong port or a missing driver
        log.warning(
            "warning: MLflow at %s was not told (%s). The event_log %s is sent at the next chance.",
            shown_uri(),
            first_line(error),
            event_log.path,
        )


def sync_event_log(event_log: EventLog, *, report: Path | None = None) -> str:
    """Send what the present MLflow store has not got, and the folder `report`; return the id of the run.

    RegistryError if the store is away.
    """
    with event_log.locked(), reachable():
        client = connect()
        run_id, told = _run_of(client, event_log)
        events = event_log.events()
        unsent = events[event_log.sent(run_id) :]
        if told:
            # It was told from another checkout, or by an earlier training of this key, and the curves are the same.
            unsent = [event for event in unsent if _is_of_evaluation(event)]
        _tell(client, run_id, unsent)
        event_log.mark_sent(run_id, len(events))
        if report is not None:
            client.log_artifacts(run_id, str(report), "report")
        return run_id


def find_run(client: "MlflowClient", event_log: EventLog) -> "Run | None":
    """The run of a journal's key in the present experiment, if it has one already."""
    experiment = client.get_experiment_by_name(_experiment_name())
    if experiment is None:
        return None
    of_key = f"tags.`{KEY_TAGS[event_log.kind]}` = '{event_log.key}'"
    found = client.search_runs([experiment.experiment_id], of_key)
    return min(found, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)


def _run_of(client: "MlflowClient", event_log: EventLog) -> tuple[str, bool]:
    """The run of a journal's key, and whether it has all there is to tell of it; created if there is none."""
    from mlflow.exceptions import MlflowException

    name = _experiment_name()
    if client.get_experiment_by_name(name) is None:
        with suppress(MlflowException):  # somebody else was faster
            client.create_experiment(name)
    found = find_run(client, event_log)
    if found:
        return found.info.run_id, COMPLETE_TAG in found.data.tags
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    tags = {KEY_TAGS[event_log.kind]: event_log.key}
    if FLOW_RUN in os.environ:
        tags[FLOW_RUN_TAG] = os.environ[FLOW_RUN]
    ours = client.create_run(experiment.experiment_id, tags=tags, run_name=f"{event_log.kind}-{event_log.key[:8]}")
    first = find_run(client, event_log)
    assert first is not None
    if first.info.run_id != ours.info.run_id:  # another machine has made one at the same moment
        client.delete_run(ours.info.run_id)
    return first.info.run_id, False


def _is_of_evaluation(event: dict[str, Any]) -> bool:
    """Whether an event may be another one each time that the finished model is evaluated."""
    if event["kind"] == "executed":
        return bool(event["stage"] == "evaluate")
    return event["kind"] == "metrics" and bool(event["step"] == FINAL)


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
        if event["datasets"]:
            client.log_inputs(run_id, _dataset_inputs(event["datasets"]))
    for event in events:
        if event["kind"] == "executed":
            client.log_dict(run_id, event["execution"], made_file(event["stage"], event["digest"]))
    for chunk in _chunks(metrics, METRICS_PER_CALL):
        client.log_batch(run_id, metrics=chunk)
    if any(event["kind"] == "end" for event in events):
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, COMPLETE_TAG, "true")


def made_file(stage: str, digest: str) -> str:
    """Where a run says how a stage made the folder of this digest."""
    return f"{MADE}/{stage}-{digest[:12]}.json"


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
    sync_until_closed(EventLog(sys.argv[1], cast(Kind, sys.argv[2])), sys.stdin)
