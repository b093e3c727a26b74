"""Syncs event logs to MLflow. The recipes use MLflow through this module and stages/tracking/registry.py alone.

One MLflow run belongs to the key of one event log, whoever syncs it. What a store does not get is synced at the next
opportunity.
"""

import importlib
import json
import logging
import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from stages.errors import RegistryError, TryAgainError, first_line
from stages.task import load_part
from stages.tracking.client import connect, shown_uri, translate_errors
from stages.tracking.environment import FLOW_RUN
from stages.tracking.event_log import CURVES, DEV_SCORES, EventLog, Kind, Position

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

EXPERIMENT = "tuneline"

TRAIN_KEY_TAG = "tuneline.train_key"
ENCODED_TAG = "tuneline.encoded"
KEY_TAGS = {"train": TRAIN_KEY_TAG, "tokenize": ENCODED_TAG}
EXECUTIONS = "made"  # the artifact folder for how each stage was executed; a name that stores have
COMPLETE_TAG = "tuneline.complete"  # set once a run has its whole training run
FLOW_RUN_TAG = "prefect.flow_run_id"

FINAL = 0  # the step of scores that belong to no step; steps of training count from 1
SYNC_INTERVAL = 10  # seconds
SYNC_TIMEOUT = 60  # seconds that a finished training run waits for the last sync
SYNC_TIMEOUT_ON_FAILURE = 5  # seconds that one waits that was stopped or failed
METRICS_PER_CALL = 1000  # MLflow's limit for one log-batch call
PARAMS_PER_CALL = 100
DIGEST_CHARACTERS = 36  # the longest digest that MLflow keeps for a dataset

log = logging.getLogger("tracking")


@contextmanager
def sync_live(event_log: EventLog) -> Iterator[None]:
    """Sync the event log every few seconds while active, in a separate process, and once more at the end.

    A slow or unreachable server delays nothing but the end, by a limited time.
    """
    history = [] if event_log.live_history is None else [str(event_log.live_history)]
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.tracking.sync", event_log.key, event_log.kind, *history],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    timeout = SYNC_TIMEOUT_ON_FAILURE
    try:
        yield
        timeout = SYNC_TIMEOUT
    finally:
        assert process.stdin is not None
        process.stdin.close()  # as it would be if this process were killed
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            log.warning(
                "warning: MLflow at %s is slow; the event log %s will be synced at the next opportunity.",
                shown_uri(),
                event_log.path,
            )


def sync_until_closed(event_log: EventLog, pipe: IO[str]) -> None:
    """Sync an event log again and again until the process at the other end of `pipe` closes it, and once more then."""
    with suppress(ImportError):  # sync_event_log reports it
        importlib.import_module("mlflow")  # takes seconds, which the stage need not wait for
    warned = False
    while not select.select([pipe], [], [], SYNC_INTERVAL)[0]:
        try:
            sync_event_log(event_log)
            warned = False
        except Exception as error:
            if not warned:
                is_refusal = isinstance(error, RegistryError) and not isinstance(error, TryAgainError)
                does = "refuses the run" if is_refusal else "does not answer"
                log.warning("warning: MLflow at %s %s (%s); retrying.", shown_uri(), does, first_line(error))
            warned = True
    try_sync(event_log)


def try_sync(event_log: EventLog, *, report: Path | None = None) -> None:
    """Sync as `sync_event_log` does, but turn every error into a warning: the results are safe."""
    try:
        sync_event_log(event_log, report=report)
    except Exception as error:  # a wrong port or a missing driver must not cost a training run of hours
        log.warning(
            "warning: MLflow at %s was not synced (%s). The event log %s will be synced at the next opportunity.",
            shown_uri(),
            first_line(error),
            event_log.path,
        )


def sync_event_log(event_log: EventLog, *, report: Path | None = None) -> str:
    """Send what the current MLflow store lacks, and the folder `report`; return the id of the run.

    RegistryError if the store is unreachable or refuses.
    """
    with event_log.lock(), translate_errors():
        client = connect()
        run_id, is_complete = _find_or_create_run(client, event_log)
        position = event_log.position(run_id)
        events = event_log.events()  # before the history, which is complete once the log has ended
        steps = event_log.history(start=position.steps)
        if is_complete:
            # Another checkout has synced the same training run, or an earlier repetition of it.
            _send(client, run_id, [e for e in events[position.events :] if _belongs_to_evaluation(e)])
        else:
            dev_curve = load_part(event_log.task(), "scores.scoring").DEV_CURVE if steps else ""
            curves = CURVES | dict.fromkeys(DEV_SCORES, dev_curve)
            _send(client, run_id, events[position.events :], steps, curves)
        event_log.mark_sent(run_id, Position(len(events), position.steps + len(steps)))
        if report is not None:
            with resolve_links(report) as folder:
                client.log_artifacts(run_id, str(folder), "report")
        return run_id


@contextmanager
def resolve_links(folder: Path) -> Iterator[Path]:
    """Provide the folder, or a copy of it if DVC has linked its files to the cache.

    MLflow refuses symbolic links out of a folder. Hard links are read-only, and so would be the files of MLflow, which
    the next upload to the same run could not replace.
    """
    files = [folder, *folder.rglob("*")]
    if not any(path.is_symlink() or not path.stat().st_mode & stat.S_IWUSR for path in files):
        yield folder
        return
    with tempfile.TemporaryDirectory() as work:
        yield Path(shutil.copytree(folder, Path(work) / folder.name, copy_function=shutil.copyfile))


def find_run(client: "MlflowClient", event_log: EventLog) -> "Run | None":
    """Find the run of an event log's key in the current experiment."""
    experiment = client.get_experiment_by_name(_experiment_name())
    if experiment is None:
        return None
    has_key = f"tags.`{KEY_TAGS[event_log.kind]}` = '{event_log.key}'"
    runs = client.search_runs([experiment.experiment_id], has_key)
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def execution_file(stage: str, digest: str) -> str:
    """The artifact of a run that says how a stage was executed that made the folder of this digest."""
    return f"{EXECUTIONS}/{stage}-{digest[:12]}.json"


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)


def _find_or_create_run(client: "MlflowClient", event_log: EventLog) -> tuple[str, bool]:
    """The run of an event log's key, and whether it has its whole training run."""
    from mlflow.exceptions import MlflowException

    name = _experiment_name()
    if client.get_experiment_by_name(name) is None:
        try:
            client.create_experiment(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # as it does if another process was faster
                raise
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    if experiment.lifecycle_stage == "deleted":
        raise RegistryError(
            f"the experiment {name} was deleted in MLflow at {shown_uri()}. Restore it: `mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}`. Or set MLFLOW_EXPERIMENT_NAME to another."
        )
    found = find_run(client, event_log)
    if found:
        return found.info.run_id, COMPLETE_TAG in found.data.tags
    tags = {KEY_TAGS[event_log.kind]: event_log.key}
    if FLOW_RUN in os.environ:
        tags[FLOW_RUN_TAG] = os.environ[FLOW_RUN]
    ours = client.create_run(experiment.experiment_id, tags=tags, run_name=f"{event_log.kind}-{event_log.key[:8]}")
    first = find_run(client, event_log)
    assert first is not None
    if first.info.run_id != ours.info.run_id:  # another machine has created one at the same moment
        client.delete_run(ours.info.run_id)
    return first.info.run_id, False


def _belongs_to_evaluation(event: dict[str, Any]) -> bool:
    """Whether an event may differ each time that the finished model is evaluated."""
    return (event["kind"], event.get("stage")) in (("metrics", None), ("execution", "evaluate"))


def _send(
    client: "MlflowClient",
    run_id: str,
    events: list[dict[str, Any]],
    steps: Sequence[dict[str, Any]] = (),
    curves: Mapping[str, str] = CURVES,
) -> None:
    """Send events and lines of a history in few calls; MLflow ignores what it has already.

    `curves` are the names of the curves by the fields of a line.
    """
    from mlflow.entities import Metric, Param

    begin = [event for event in events if event["kind"] == "begin"]
    parameters = [Param(key, str(value)) for event in begin for key, value in event["parameters"].items()]
    metrics = [
        Metric(name, float(line[field]), line["time"], line["step"])
        for line in steps
        for field, name in curves.items()
        if field in line
    ]
    metrics += [
        Metric(key, float(value), event["time"], FINAL)
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
        if event["kind"] == "execution":
            client.log_dict(run_id, event["execution"], execution_file(event["stage"], event["digest"]))
    for chunk in _chunks(metrics, METRICS_PER_CALL):
        client.log_batch(run_id, metrics=chunk)
    if any(event["kind"] == "end" for event in events):
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, COMPLETE_TAG, "true")


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
    key, kind, *paths = sys.argv[1:]
    sync_until_closed(EventLog(key, cast(Kind, kind), live_history=Path(paths[0]) if paths else None), sys.stdin)
