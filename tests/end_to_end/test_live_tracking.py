"""Curves in MLflow while a training runs, by a real server that comes and goes."""

import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.checkouts import Trainable
from tests.processes import PATIENCE, free_port, mlflow_server, wait_until

MakeTrainable = Callable[..., Trainable]

pytestmark = pytest.mark.slow


def synced_steps(folder: Path) -> list[int]:
    """The steps of train/loss that the server's store has."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tuneline")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    assert len(runs) <= 1
    return [m.step for run in runs for m in client.get_metric_history(run.info.run_id, "train/loss")]


def wait_until_synced(folder: Path, count: int, process: "subprocess.Popen[bytes]") -> None:
    wait_until(lambda: len(synced_steps(folder)) >= count, process=process, every=0.5)


def test_curves_are_live_and_complete_though_the_server_was_away_in_between(
    trainable: MakeTrainable, tmp_path: Path
) -> None:
    port, store = free_port(), tmp_path / "server"
    store.mkdir()
    training = trainable(**{"train.epochs": 30})
    with mlflow_server(store, port) as url:
        process = training.start(MLFLOW_TRACKING_URI=url)
        training.wait_for("epoch 1 of 30", process)
        process.send_signal(signal.SIGSTOP)  # a tiny model would be trained before a server has come and gone
        wait_until_synced(store, 1, process)
    before = len(synced_steps(store))
    training.wait_for("does not answer", process)
    with mlflow_server(store, port):
        process.send_signal(signal.SIGCONT)
        wait_until_synced(store, before + 1, process)
        assert process.wait(PATIENCE) == 0, training.log()
    synced = synced_steps(store)
    _, history = training.model()
    assert sorted(synced) == list(range(1, len(history.splitlines()) + 1))
    assert "Traceback" not in training.log()


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


def test_a_server_that_never_answers_keeps_no_training_from_its_end(trainable: MakeTrainable) -> None:
    training = trainable(**{"train.epochs": 12})
    with silent_server() as port:
        output = training.run(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    assert "epoch 12 of 12" in output
    assert "will be synced at the next opportunity" in output
