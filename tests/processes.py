"""Processes that tests start, wait for and stop: servers, workers, trainings, programs in a terminal."""

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


# A new session takes its standard input for its terminal, and becomes the program.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A program in a terminal of its own, into which a person types, and which they may close."""

    def __init__(self, command: list[str], folder: Path, **environment: str) -> None:
        self.output = ""
        self._screen, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command],
            cwd=folder,
            env=os.environ | real_programs() | environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)

    def type(self, keys: bytes) -> None:
        """Press keys, such as Ctrl-C, which is 0x03."""
        os.write(self._screen, keys)

    def close(self) -> None:
        """Close the window: the kernel sends SIGHUP to the foreground process group."""
        os.close(self._screen)
        self._screen = -1

    def wait_for(self, words: str, *, after: int = 0) -> None:
        """Return once the output holds `words` behind its first `after` characters."""
        wait_until(lambda: words in self._read()[after:], lambda: self.output, self.process)

    def wait(self) -> int:
        """Read to the end of the program, and return its exit code."""
        while self.process.poll() is None:
            self._read()  # or the program would wait for somebody who reads
            time.sleep(0.05)
        self._read()
        if self._screen >= 0:
            self.close()
        return self.process.returncode

    def _read(self) -> str:
        with suppress(OSError):  # the program has closed its end, or the window is closed
            while self._screen >= 0 and select.select([self._screen], [], [], 0)[0]:
                data = os.read(self._screen, 65536)
                if not data:
                    break
                self.output += data.decode("utf-8", "replace")
        return self.output


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
