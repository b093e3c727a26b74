"""A process that has imported what is slow to import, and forks a child for each command that it is asked to run.

A Python process of this project spends seconds on the imports of torch, transformers and MLflow, more than most tests
compute. This one imports them once: `python server.py SOCKET`. The client (client.py), which stands in for the programs
`python`, `tuneline` and `dvc`, sends its arguments, environment, working directory and standard streams; a child forked
from here runs the same code in them and ends as an interpreter would. Of this repository nothing is imported here, so
that each child imports it from where an interpreter would.

Where processes themselves are what a test is about (kills, the first run of a pipeline), real interpreters are started.
"""

import atexit
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "torch", "torch.distributed", "safetensors.torch", "transformers.models.bert.modeling_bert",
    "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto",
    "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
    "dvc.cli", "dvc.repo", "dvc.commands.repro", "pandas", "pyarrow.parquet", "jinja2", "typer", "ruamel.yaml",
    "rich.table", "rich.tree", "seqeval.metrics", "pathspec", "psutil", "filelock", "networkx", "tqdm.contrib.logging",
)  # fmt: skip
SIZE = struct.Struct("!I")


@dataclass
class Command:
    """A child and the connection of the client that waits for it."""

    connection: socket.socket
    pid: int
    descriptor: int  # a pidfd: readable once the child has ended


def main(address: str) -> None:
    """Serve until the process that started this one is gone."""
    for name in PRELOADED:
        importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    parent, selector = os.getppid(), selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while os.getppid() == parent:
        for key, _ in selector.select(timeout=1):
            if key.fileobj is listener:
                serve(listener, selector)
            elif isinstance(key.fileobj, int):
                finish(key.data, selector)
            else:
                pass_signal_on(key.data, selector)


def serve(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    """Take a request and fork the child that runs it."""
    connection, _ = listener.accept()
    head, streams, _, _ = socket.recv_fds(connection, SIZE.size, 3)
    body = b""
    while len(body) < SIZE.unpack(head)[0]:
        body += connection.recv(1 << 20)
    pid = os.fork()
    if not pid:
        selector.close()
        listener.close()
        connection.close()
        run(json.loads(body), streams)
    for stream in streams:
        os.close(stream)
    command = Command(connection, pid, os.pidfd_open(pid))
    selector.register(command.descriptor, selectors.EVENT_READ, command)
    selector.register(connection, selectors.EVENT_READ, command)


def finish(command: Command, selector: selectors.BaseSelector) -> None:
    """Tell the client how its child has ended."""
    _, status = os.waitpid(command.pid, 0)
    selector.unregister(command.descriptor)
    os.close(command.descriptor)
    if command.connection.fileno() >= 0:
        selector.unregister(command.connection)
        with suppress(OSError):  # the client was killed
            command.connection.sendall(SIZE.pack(status))
        command.connection.close()


def pass_signal_on(command: Command, selector: selectors.BaseSelector) -> None:
    """Send the child the signal that its client got; a client that was killed takes it along."""
    try:
        number = command.connection.recv(1)
    except OSError:
        number = b""
    if not number:
        selector.unregister(command.connection)
        command.connection.close()
    with suppress(ProcessLookupError):
        os.killpg(command.pid, number[0] if number else signal.SIGKILL)


def run(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Run the request in this forked process, as an interpreter started for it would; never returns."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.executable = request["python"]
    sys.stdout.reconfigure(write_through="PYTHONUNBUFFERED" in os.environ)  # type: ignore[union-attr]  # it is a TextIOWrapper
    code: int = 1
    try:
        execute(request["arguments"])
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # what an interpreter does first at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def execute(arguments: list[str]) -> None:
    """`python -m MODULE ...` or `SCRIPT ...`."""
    importlib.invalidate_caches()
    own = Path(__file__).parent.resolve()
    rest = [path for path in sys.path if Path(path).resolve() != own]
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if arguments[0] == "-m":
        sys.path[:] = [str(Path.cwd()), *given, *rest]
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[:] = [str(Path(arguments[0]).parent), *given, *rest]
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
