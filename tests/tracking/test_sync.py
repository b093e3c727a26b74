"""The event_log against real stores: a SQLite file and a real server that is away at first."""

import json
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from stages.errors import RegistryError
from stages.tracking.client import tracking_uri
from stages.tracking.event_log import FINAL, EventLog, flat
from stages.tracking.registry import Registration, read_marker, write_marker
from stages.tracking.sync import send, sync_event_log
from tests.processes import free_port, mlflow_server

KEY = "ab" * 32
RECORD: dict[str, Any] = {
    "parameters": {"train": {"seed": 13, "learning_rate": 3e-4}},
    "datasets": {"train": {"digest": "c" * 64, "sentences": 5}, "test": {"digest": "d" * 64, "sentences": 2}},
    "device": "cpu",
    "precision": "bf16",
    "threads": 2,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # With the folder in its name: mlflow keeps one open database for each URI of a process.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def report(step: int) -> dict[str, Any]:
    return {"step": step, "loss": 1 / step, "learning_rate": 1e-4, "gradient_norm": 2.0}


def told(steps: int) -> EventLog:
    event_log = EventLog(KEY)
    event_log.begin(RECORD)
    for step in range(1, steps + 1):
        event_log.log_step(report(step))
    event_log.end()
    return event_log


def test_journal_tells_mlflow_parameters_curves_and_datasets(folder: Path) -> None:
    event_log = told(1200)
    run_id = sync_event_log(event_log)
    client = mlflow.MlflowClient(tracking_uri())
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["tuneline.train_key"] == KEY
    assert run.data.params["train/learning_rate"] == "0.0003"
    assert run.data.params["machine/precision"] == "bf16"
    assert [m.step for m in client.get_metric_history(run_id, "train/loss")] == list(range(1, 1201))
    assert {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs} == {
        "encoded/train": "c" * 36,
        "encoded/test": "d" * 36,
    }


def test_journal_sends_nothing_twice_and_one_key_is_one_run(folder: Path) -> None:
    event_log = told(3)
    run_id = sync_event_log(event_log)
    event_log.log_metrics({"test": {"f1": 0.5}})
    assert sync_event_log(EventLog(KEY)) == run_id
    assert sync_event_log(told(3)) == run_id  # the same training once more, to the bit
    client = mlflow.MlflowClient(tracking_uri())
    assert len(client.get_metric_history(run_id, "train/loss")) == 3
    assert client.get_run(run_id).data.metrics["test/f1"] == 0.5


def test_journal_keeps_what_an_absent_server_should_know_and_sends_it_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    event_log = told(5)
    send(event_log)
    assert "sent at the next chance" in caplog.text
    with pytest.raises(RegistryError, match=f"MLflow at http://127.0.0.1:{port} failed"):
        sync_event_log(event_log)
    home = folder / "server"
    home.mkdir()
    with mlflow_server(home, port):
        run_id = sync_event_log(event_log)
        assert len(mlflow.MlflowClient().get_metric_history(run_id, "train/loss")) == 5


def test_a_server_that_fails_in_the_middle_stops_no_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that says it is healthy and then answers nothing but errors."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
        send(told(1))
    finally:
        server.shutdown()
        server.server_close()
    assert "sent at the next chance" in caplog.text


def test_metrics_are_told_again_only_if_they_changed(folder: Path) -> None:
    event_log = told(1)
    for f1 in (0.5, 0.5, 0.6):
        event_log.log_metrics({"test": {"f1": f1}})
    # By the event_log, not by MLflow, which drops a point that equals another to the millisecond.
    assert [event["values"]["test/f1"] for event in event_log.events() if event.get("step") == FINAL] == [0.5, 0.6]
    history = mlflow.MlflowClient(tracking_uri()).get_metric_history(sync_event_log(event_log), "test/f1")
    assert [m.value for m in history] == [0.5, 0.6]


def test_marker_counts_only_for_its_own_registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_no_tracking_uri_however_wrong_stops_a_training_or_shows_a_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    send(told(1))
    assert "sent at the next chance" in caplog.text
    assert "secret" not in caplog.text


def test_a_run_that_was_deleted_is_told_anew(folder: Path) -> None:
    event_log = told(3)
    client = mlflow.MlflowClient(tracking_uri())
    first = sync_event_log(event_log)
    client.delete_run(first)
    second = sync_event_log(event_log)
    assert second != first
    assert len(client.get_metric_history(second, "train/loss")) == 3


def test_a_journal_that_was_cut_off_is_written_anew_from_the_model(folder: Path) -> None:
    event_log = told(2)
    with event_log.path.open("a") as stream:
        stream.write('{"kind": "met')
    assert [event["kind"] for event in event_log.events()] == ["begin", "metrics", "metrics", "end"]
    lost = EventLog("cd" * 32)
    lines = [{**report(n), "ends_epoch": n == 2} for n in (1, 2)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lost.path.write_text('{"kind": "begin"')
    lost.restore_from_model(folder, {**RECORD, "dev_f1": [0.5]})
    run_id = sync_event_log(lost)
    client = mlflow.MlflowClient(tracking_uri())
    assert [m.value for m in client.get_metric_history(run_id, "dev/entity_strict_f1")] == [0.5]
    assert client.get_run(run_id).data.params["train/seed"] == "13"


def test_a_journal_that_did_not_end_is_gone_on_with(folder: Path) -> None:
    """Killed while it wrote step 3, resumed from a checkpoint after step 4 that the machine lost the lines of."""
    stopped = EventLog(KEY)
    stopped.begin(RECORD)
    stopped.step(report(1))
    stopped.step(report(2))
    stopped.epoch(0.25, 2)
    with stopped.path.open("a") as stream:
        stream.write('{"kind": "metrics", "time": 17, "val')
    before = stopped.events()
    resumed = EventLog(KEY)
    resumed.begin({**RECORD, "device": "not told again"})
    assert resumed.events() == before
    assert resumed.path.read_text().endswith("}\n")
    for step in range(1, 5):
        resumed.step(report(step))
        if step % 2 == 0:
            resumed.epoch(step / 8, step)
    resumed.end()
    events = resumed.events()
    assert events[: len(before)] == before
    assert [event["kind"] for event in events] == ["begin", *["metrics"] * 6, "end"]
    points = [(name, event["step"]) for event in events if event["kind"] == "metrics" for name in event["values"]]
    assert sorted(points) == [
        *[("dev/entity_strict_f1", step) for step in (2, 4)],
        *[(f"train/{name}", step) for name in ("gradient_norm", "learning_rate", "loss") for step in (1, 2, 3, 4)],
    ]


def test_a_training_that_is_repeated_tells_its_journal_nothing_new(folder: Path) -> None:
    before = told(3).events()
    assert len(before) == 5
    assert told(3).events() == before


def test_what_was_sent_before_a_stop_is_not_sent_anew(folder: Path) -> None:
    stopped = EventLog(KEY)
    stopped.begin(RECORD)
    for step in (1, 2, 3):
        stopped.step(report(step))
    run_id = sync_event_log(stopped)
    assert mlflow.MlflowClient(tracking_uri()).get_run(run_id).info.status == "RUNNING"
    resumed = EventLog(KEY)
    resumed.begin(RECORD)
    for step in (1, 2, 3, 4, 5):
        resumed.step(report(step))
    resumed.end()
    assert sync_event_log(resumed) == run_id
    history = mlflow.MlflowClient(tracking_uri()).get_metric_history(run_id, "train/loss")
    assert [metric.step for metric in history] == [1, 2, 3, 4, 5]


def test_steps_are_once_in_mlflow_though_a_training_ends_half_sent_and_is_run_again(folder: Path) -> None:
    """The server went away after step 2, so that the run has a part of the training; then the same is trained anew."""
    first = EventLog(KEY)
    first.begin(RECORD)
    first.step(report(1))
    first.step(report(2))
    sync_event_log(first)
    first.step(report(3))
    first.end()
    time.sleep(0.01)  # so that the same points have other times
    run_id = sync_event_log(told(3))
    history = mlflow.MlflowClient(tracking_uri()).get_metric_history(run_id, "train/loss")
    assert [metric.step for metric in history] == [1, 2, 3]


def test_flat_joins_keys_and_makes_names_that_mlflow_takes(folder: Path) -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a/b": 1, "a/c/d": 2, "e": 3}
    odd = flat({"per_type": {"GPE(loc)": 1.0, "PER|HUM": 2.0, "/art/music": 3.0, "PER&HUM": 4.0}})
    assert len(odd) == 4
    event_log = told(1)
    event_log.log_metrics({"per_type": {"GPE(loc)": 1.0, "/art/music": 3.0}})
    assert (
        mlflow.MlflowClient(tracking_uri()).get_run(sync_event_log(event_log)).data.metrics["per_type/GPE_loc_"] == 1.0
    )
