"""The event log and the history against real stores: a SQLite file, and a real server that is away at first."""

import shutil
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest

from stages.errors import RegistryError
from stages.tracking.client import tracking_uri
from stages.tracking.event_log import EventLog, flatten
from stages.tracking.registry import Registration, read_marker, write_marker
from stages.tracking.sync import sync_event_log, try_sync
from stages.training.history import History, Step
from tests.processes import free_port, mlflow_server

KEY = "ab" * 32
PARAMETERS: dict[str, Any] = {
    "train": {"seed": 13, "learning_rate": 3e-4},
    "machine": {"device": "cpu", "precision": "bf16", "threads": 2},
}
DATASETS = {"train": {"digest": "c" * 64, "sentences": 5}, "test": {"digest": "d" * 64, "sentences": 2}}
EPOCH = 2  # steps


@pytest.fixture
def folder(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    # With the folder in its name: mlflow keeps one open database for each URI of a process.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


class TrainingRun:
    """A training run that writes its history and its event log as train does, but computes nothing."""

    def __init__(self, *, checkpoint: int = 0, checkpoints: Path = Path(".checkpoints")) -> None:
        self.history = History(checkpoints / KEY / "history.jsonl")
        self.event_log = EventLog(KEY, live_history=self.history.path)
        self.event_log.begin(PARAMETERS, DATASETS)
        self.history.load()
        self.history.resume(checkpoint)

    def step(self, count: int = 1) -> None:
        """Take `count` steps."""
        for _ in range(count):
            number = len(self.history.entries) + 1
            ends_epoch = number % EPOCH == 0
            step = Step(number, 9, (number + 1) // EPOCH, ends_epoch, 1 / number, 1e-4, 2.0, 70, 40)
            self.history.append(step, number / 8 if ends_epoch else None)

    def lines(self) -> list[dict[str, Any]]:
        return [entry.to_json() for entry in self.history.entries]

    def end(self) -> None:
        """Finish, as train does."""
        self.event_log.keep_history(self.lines())
        self.history.path.unlink(missing_ok=True)
        self.event_log.end()


def finish_run(steps: int) -> EventLog:
    run = TrainingRun()
    run.step(steps)
    run.end()
    return run.event_log


def client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri())


def synced_steps(run_id: str, name: str = "train/loss") -> list[int]:
    return [metric.step for metric in client().get_metric_history(run_id, name)]


def test_sync_sends_parameters_curves_and_datasets(folder: Path) -> None:
    run_id = sync_event_log(finish_run(1200))
    run = client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["tuneline.train_key"] == KEY
    assert run.data.params["train/learning_rate"] == "0.0003"
    assert run.data.params["machine/precision"] == "bf16"
    assert synced_steps(run_id) == list(range(1, 1201))
    assert synced_steps(run_id, "train/gradient_norm") == synced_steps(run_id, "train/learning_rate")
    scores = client().get_metric_history(run_id, "dev/entity_strict_f1")
    assert [(metric.step, metric.value) for metric in scores] == [(step, step / 8) for step in range(2, 1201, 2)]
    assert {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs} == {
        "encoded/train": "c" * 36,
        "encoded/test": "d" * 36,
    }


def test_points_have_the_times_of_the_history(folder: Path) -> None:
    run = TrainingRun()
    run.step(3)
    run_id = sync_event_log(run.event_log)
    points = client().get_metric_history(run_id, "train/loss")
    assert [metric.timestamp for metric in points] == [line["time"] for line in run.lines()]


def test_sync_sends_nothing_twice_and_one_key_is_one_run(folder: Path) -> None:
    event_log = finish_run(3)
    run_id = sync_event_log(event_log)
    event_log.log_metrics({"test": {"f1": 0.5}})
    assert sync_event_log(EventLog(KEY)) == run_id
    assert sync_event_log(finish_run(3)) == run_id  # the same training run again, to the bit
    assert synced_steps(run_id) == [1, 2, 3]
    assert client().get_run(run_id).data.metrics["test/f1"] == 0.5


def test_an_unreachable_server_is_synced_later_without_the_checkpoints(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    event_log = finish_run(5)
    assert not list(folder.glob(".checkpoints/*/*"))
    try_sync(event_log)
    assert "synced at the next opportunity" in caplog.text
    with pytest.raises(RegistryError, match=f"MLflow at http://127.0.0.1:{port} failed"):
        sync_event_log(event_log)
    home = folder / "server"
    home.mkdir()
    with mlflow_server(home, port):
        run_id = sync_event_log(EventLog(KEY))
        assert len(mlflow.MlflowClient().get_metric_history(run_id, "train/loss")) == 5


def test_a_server_that_fails_in_the_middle_stops_no_training_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that says it is healthy and then answers nothing but errors."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    try:
        try_sync(finish_run(1))
    finally:
        server.shutdown()
        server.server_close()
    assert "synced at the next opportunity" in caplog.text


def test_metrics_are_logged_again_only_if_they_changed(folder: Path) -> None:
    event_log = finish_run(1)
    for f1 in (0.5, 0.5, 0.6):
        event_log.log_metrics({"test": {"f1": f1}})
    # By the event log, not by MLflow, which drops a point that equals another to the millisecond.
    assert [event["values"]["test/f1"] for event in event_log.events() if event["kind"] == "metrics"] == [0.5, 0.6]
    history = client().get_metric_history(sync_event_log(event_log), "test/f1")
    assert [m.value for m in history] == [0.5, 0.6]


def test_marker_counts_only_for_its_own_registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mlflow.db").unlink()
    assert read_marker() is None
    marker = Registration(tracking_uri(), "demo-ner", 3, "e" * 64, "run")
    write_marker(marker)
    assert read_marker() is None  # the database is not there
    (folder / "mlflow.db").touch()
    assert read_marker() == marker
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert read_marker() is None


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:99999", "postgresql://user:secret@127.0.0.1:1/x", "nonsense://x"],
    ids=["no such port", "no driver or server", "no such scheme"],
)
def test_no_tracking_uri_however_wrong_stops_a_training_run_or_shows_a_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    try_sync(finish_run(1))
    assert "synced at the next opportunity" in caplog.text
    assert "secret" not in caplog.text


def test_a_run_that_was_deleted_is_synced_again(folder: Path) -> None:
    event_log = finish_run(3)
    first = sync_event_log(event_log)
    client().delete_run(first)
    second = sync_event_log(event_log)
    assert second != first
    assert synced_steps(second) == [1, 2, 3]


def test_a_model_that_was_trained_elsewhere_restores_its_event_log_and_history(folder: Path) -> None:
    elsewhere = TrainingRun()
    elsewhere.step(4)
    lines = elsewhere.lines()
    here = EventLog("cd" * 32)
    here.restore_from_model(PARAMETERS, DATASETS, lines)
    here.restore_from_model(PARAMETERS, DATASETS, [])  # changes nothing any more
    assert [event["kind"] for event in here.events()] == ["begin", "end"]
    assert here.history() == lines
    run_id = sync_event_log(here)
    assert synced_steps(run_id) == [1, 2, 3, 4]
    assert [m.value for m in client().get_metric_history(run_id, "dev/entity_strict_f1")] == [0.25, 0.5]
    assert client().get_run(run_id).data.params["train/seed"] == "13"


@pytest.mark.parametrize("missing", ["events", "history"])
def test_a_damaged_event_log_or_a_lost_history_is_restored_from_the_model(folder: Path, missing: str) -> None:
    event_log = finish_run(2)
    lines = event_log.history()
    if missing == "events":
        event_log.path.write_text('{"kind": "begin"')
    else:
        event_log.history_path.unlink()
    event_log.restore_from_model(PARAMETERS, DATASETS, lines)
    assert [event["kind"] for event in event_log.events()] == ["begin", "end"]
    assert event_log.history() == lines
    assert synced_steps(sync_event_log(event_log)) == [1, 2]


def test_an_incomplete_line_of_the_event_log_is_ignored_and_removed_by_the_next_run(folder: Path) -> None:
    stopped = TrainingRun()
    with stopped.event_log.path.open("a") as stream:
        stream.write('{"kind": "metrics", "time": 17, "val')
    before = stopped.event_log.events()
    assert [event["kind"] for event in before] == ["begin"]
    resumed = EventLog(KEY)
    resumed.begin({"train": {"seed": 99}}, {})  # continues the log, as it stands
    assert resumed.events() == before
    resumed.end()
    assert [event["kind"] for event in resumed.events()] == ["begin", "end"]


def test_a_training_run_that_is_repeated_changes_neither_event_log_nor_history(folder: Path) -> None:
    before = finish_run(3)
    events, history = before.events(), before.history()
    assert (len(events), len(history)) == (2, 3)
    time.sleep(0.01)
    again = finish_run(3)
    assert (again.events(), again.history()) == (events, history)


@pytest.mark.parametrize("checkpoint", [0, 1, 3])
def test_what_was_synced_before_a_stop_is_not_synced_again(folder: Path, checkpoint: int) -> None:
    stopped = TrainingRun()
    stopped.step(3)
    run_id = sync_event_log(stopped.event_log)
    assert client().get_run(run_id).info.status == "RUNNING"
    time.sleep(0.01)
    resumed = TrainingRun(checkpoint=checkpoint)
    assert sync_event_log(resumed.event_log) == run_id
    resumed.step(4 - checkpoint)
    sync_event_log(resumed.event_log)
    resumed.step()
    resumed.end()
    assert sync_event_log(resumed.event_log) == run_id
    assert synced_steps(run_id) == [1, 2, 3, 4, 5]
    assert synced_steps(run_id, "dev/entity_strict_f1") == [2, 4]


@pytest.mark.parametrize("checkpoint", [0, 2, 4])
def test_steps_are_once_in_mlflow_though_another_machine_resumes_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: int
) -> None:
    """The two share a folder of checkpoints and a store, but nothing that says what was synced."""
    shared = folder / "shared"
    for machine in ("first", "second"):
        (folder / machine).mkdir()
    monkeypatch.chdir(folder / "first")
    killed = TrainingRun(checkpoints=shared)
    killed.step(4)
    run_id = sync_event_log(killed.event_log)
    time.sleep(0.01)
    monkeypatch.chdir(folder / "second")
    resumed = TrainingRun(checkpoints=shared, checkpoint=checkpoint)
    assert sync_event_log(resumed.event_log) == run_id
    resumed.step(6 - checkpoint)
    resumed.end()
    assert sync_event_log(resumed.event_log) == run_id
    assert Counter(synced_steps(run_id)) == dict.fromkeys(range(1, 7), 1)
    assert client().get_run(run_id).info.status == "FINISHED"


def test_steps_are_once_in_mlflow_though_a_run_ends_half_synced_and_is_repeated(folder: Path) -> None:
    """The server went away after step 2, so that the store has a part of the run; then the same is trained again."""
    first = TrainingRun()
    first.step(2)
    sync_event_log(first.event_log)
    first.step()
    first.end()
    time.sleep(0.01)  # so that the same points would have other times
    run_id = sync_event_log(finish_run(3))
    assert synced_steps(run_id) == [1, 2, 3]


def test_a_step_that_is_being_written_is_synced_once_it_is_complete(folder: Path) -> None:
    run = TrainingRun()
    run.step(3)
    content = run.history.path.read_bytes()
    run.history.path.write_bytes(content[:-20])
    run_id = sync_event_log(run.event_log)
    assert synced_steps(run_id) == [1, 2]
    run.history.path.write_bytes(content)
    sync_event_log(run.event_log)
    assert synced_steps(run_id) == [1, 2, 3]


def test_flatten_joins_keys_and_makes_names_that_mlflow_accepts(folder: Path) -> None:
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a/b": 1, "a/c/d": 2, "e": 3}
    odd = flatten({"per_type": {"GPE(loc)": 1.0, "PER|HUM": 2.0, "/art/music": 3.0, "PER&HUM": 4.0}})
    assert len(odd) == 4
    event_log = finish_run(1)
    event_log.log_metrics({"per_type": {"GPE(loc)": 1.0, "/art/music": 3.0}})
    assert client().get_run(sync_event_log(event_log)).data.metrics["per_type/GPE_loc_"] == 1.0
