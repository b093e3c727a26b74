"""Processes that tests start, wait for and stop: servers, workers, trainings."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

BIN = Path(sys.executable).parent
PATIENCE = 900  # seconds for what takes a few, so that no test fails on a machine that is merely busy

T = TypeVar("T")


def wait_until(
    happened: Callable[[], T | None],
    log: Callable[[], str] = str,
    process: "subprocess.Popen[bytes] | subprocess.Popen[str] | None" = None,
    *,
    every: float = 0.1,
) -> T:
    """What `happened` returns, once it is true; fails with the log if the process ends before, or patience does.

    It is asked at intervals of `every` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        ended = process is not None and process.poll() is not None
        if found := happened():
            return found
        assert not ended, log()
        assert time.monotonic() < deadline, log()
        time.sleep(every)


def real_programs() -> dict[str, str]:
    """The environment in which `python` and the programs of this project are those of our interpreter."""
    return {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def start(command: list[str], folder: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """Start a server in a process group of its own, its output in `folder`/server.log."""
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | real_programs() | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server and its children, which share its process group."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes that work in `folder` or below."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextmanager
def served(command: list[str], home: Path, health: str, **environment: str) -> Iterator[None]:
    """Within, the server that the command starts in `home` answers at the URL `health`."""
    process = start(command, home, **environment)
    try:
        wait_until(lambda: answers(health), (home / "server.log").read_text, process)
        yield
    finally:
        stop(process)


@contextmanager
def prefect_server(home: Path, port: int, **environment: str) -> Iterator[str]:
    """Within, a real Prefect server with a database of its own, in `home`, answers at the URL of its API."""
    url = f"http://127.0.0.1:{port}/api"
    command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with served(command, home, f"{url}/health", PREFECT_HOME=str(home), **environment):
        yield url


@contextmanager
def mlflow_server(home: Path, port: int) -> Iterator[str]:
    """Within, a real MLflow server answers at the URL; its store is `home`/mlflow.db, and it keeps the artifacts."""
    url = f"http://127.0.0.1:{port}"
    command = [
        str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "models"),
    ]  # fmt: skip
    # Without it a server starts nine more processes, for jobs of MLflow's that nobody here asks for.
    with served(command, home, f"{url}/health", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"):
        yield url
