"""Signals that end or suspend a command: all that it has started ends, or rests, with it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

# Ctrl-C, `kill` and systemd, a terminal that is closed, Ctrl-\
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
STOP_SECONDS = 8  # that the processes of a group have to end by themselves after SIGTERM
LIMIT_SECONDS = 13  # after which a command that was told to end is ended, whatever it waits for
CLEAR_LINE = "\r\x1b[K"

_messages = ["stopped"]  # the last one counts
_leaders: set["subprocess.Popen[bytes]"] = set()  # of the process groups that end and rest with this process
_ending = threading.Event()


class Stopped(BaseException):
    """The command ends before its work is done; the reason is printed. No library takes it for an error of its own."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def handle_signals() -> None:
    """From here on, the first signal that ends a command raises Stopped in the main thread; the others are ignored.

    What this process was started to ignore (nohup, a shell's `&`) stays ignored. SIGTSTP suspends the process groups of
    `ends_with_command` as well.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
        signal.signal(signal.SIGTSTP, _suspend)


def release_signals() -> None:
    """From here on, a signal ends the process at once: an exception while an interpreter ends would only be printed."""
    for number in ENDING:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def exit_on_interrupt(message: str) -> Iterator[None]:
    """While active, a signal that ends the command prints the message."""
    _messages.append(message)
    try:
        yield
    finally:
        _messages.remove(message)


@contextmanager
def ends_with_command(leader: "subprocess.Popen[bytes]") -> Iterator[None]:
    """While active, the process group of this leader is suspended with this process, and ended by `end_groups`.

    When it is left by an exception, the group has ended.
    """
    _leaders.add(leader)
    try:
        if _ending.is_set():  # end_groups may have missed this one
            end_group(leader)
        yield
    except BaseException:
        end_group(leader)
        raise
    finally:
        _leaders.discard(leader)


def end_groups() -> None:
    """End all process groups of `ends_with_command`, and those that another thread may be about to start."""
    _ending.set()
    for leader in tuple(_leaders):
        end_group(leader)


def end_group(leader: "subprocess.Popen[bytes]") -> None:
    """End a process group with SIGTERM, and what does not end in time with SIGKILL.

    It waits for all of them: DVC itself ends before a training run has written its checkpoint.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group that has only zombies
            os.killpg(leader.pid, number)
            while time.monotonic() < deadline:
                leader.poll()
                os.killpg(leader.pid, 0)  # raises once no process is left
                time.sleep(0.1)


def stop_command(exit_code: int, cause: str = "") -> NoReturn:
    """Print a line, raise Stopped, and see to it that the process ends in time whatever becomes of that exception."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    line = f"{CLEAR_LINE if sys.stderr.isatty() else ''}{cause}{_messages[-1]}\n"
    with suppress(OSError):  # the terminal may be gone
        os.write(2, line.encode())  # a signal may have come in the middle of a print(), which allows no other one
    watchdog = threading.Timer(LIMIT_SECONDS, _end_at_once, [exit_code])
    watchdog.daemon = True
    watchdog.start()
    raise Stopped(exit_code)


def _end(number: int, _: FrameType | None) -> None:
    stop_command(128 + number)


def _end_at_once(exit_code: int) -> None:
    for leader in tuple(_leaders):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)
    os._exit(exit_code)


def _suspend(number: int, _: FrameType | None) -> None:
    """Suspend all that was started, then this process, as the signal would do; when that goes on, continue the rest."""
    import psutil

    started = []
    for leader in tuple(_leaders):
        with suppress(psutil.Error):
            process = psutil.Process(leader.pid)
            started += [process, *process.children(recursive=True)]  # torchrun's processes have groups of their own
    for process in started:
        with suppress(psutil.Error):
            process.suspend()
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_kill(threading.get_ident(), number)
    signal.signal(number, _suspend)
    for process in started:
        with suppress(psutil.Error):
            process.resume()
