"""Child processes: each part runs in one, and some parts start more.

They are forked from a process that has imported torch and has not touched the GPU, so a child starts at once and makes
a CUDA context of its own.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

FORK = multiprocessing.get_context("fork")


class Child:
    """A forked process that computes `function(*arguments)` and sends back what that returns."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._receiver, sender = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=_send_result, args=(sender, function, arguments))
        self._process.start()
        sender.close()

    def wait(self) -> Any:
        """What the function returned; None if a signal killed the process. RuntimeError if it failed otherwise."""
        result = None
        with suppress(EOFError):
            result = self._receiver.recv()
        self._process.join()
        code = self._process.exitcode
        if code and code != -signal.SIGKILL:
            raise RuntimeError(f"a process of this part ended with exit code {code}")
        return result


def _send_result(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sender.send(function(*arguments))


def end_group(pid: int) -> None:
    """Kill a process that leads a group of its own, and the whole group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
