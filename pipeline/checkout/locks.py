"""Who may change a checkout: one `tuneline run` at a time, and no DVC that somebody called by hand."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

RUN_LOCK = Path(".tuneline/run.lock")
DVC_LOCK = Path(".dvc/tmp/rwlock")


@contextmanager
def checkout_lock(on_wait: Callable[[str], None]) -> Iterator[None]:
    """Within, no other `tuneline run` changes this checkout; one that does is waited for, and told of."""
    RUN_LOCK.parent.mkdir(exist_ok=True)
    lock = FileLock(RUN_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait("another run is at work in this checkout; this one begins when that has ended")
        lock.acquire()
    try:
        drop_stale_locks()
        yield
    finally:
        lock.release()


def drop_stale_locks() -> None:
    """Delete DVC's lock on paths if no process of DVC has it any more.

    DVC itself takes any process with the number of a dead one for the one that locked.
    """
    if not is_dvc_running():
        DVC_LOCK.unlink(missing_ok=True)


def is_dvc_running() -> bool:
    """Whether a stage of this checkout runs, by whomever it was started; DVC's lock on the whole is free then."""
    try:
        held = json.loads(DVC_LOCK.read_text(encoding="utf-8"))
        readers = [entry for entries in held.get("read", {}).values() for entry in entries]
        numbers = {int(entry["pid"]) for entry in [*held.get("write", {}).values(), *readers]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return any(_is_dvc(number) for number in numbers)


def _is_dvc(number: int) -> bool:
    try:
        return any("dvc" in word for word in psutil.Process(number).cmdline())
    except psutil.Error:
        return False
