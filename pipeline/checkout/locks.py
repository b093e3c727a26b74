"""The locks of a checkout: one `tuneline run` at a time, and DVC's own lock on paths."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_LOCK = Path(".tuneline/run.lock")
DVC_LOCK = Path(".dvc/tmp/rwlock")


@contextmanager
def checkout_lock(on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock that a `tuneline run` takes on its checkout; call `on_wait` before waiting for another one."""
    from filelock import FileLock, Timeout

    RUN_LOCK.parent.mkdir(exist_ok=True)
    lock = FileLock(RUN_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait("another run is active in this checkout; waiting until it ends")
        lock.acquire()
    try:
        drop_stale_locks()
        yield
    finally:
        lock.release()


def drop_stale_locks() -> None:
    """Delete DVC's lock on paths unless a DVC process that wrote it is still alive.

    DVC itself mistakes any process that has got the id of a dead one for the holder of its lock.
    """
    if DVC_LOCK.exists() and not is_dvc_running():
        DVC_LOCK.unlink(missing_ok=True)


def is_dvc_running() -> bool:
    """Whether DVC runs a stage of this checkout, whoever started it; meanwhile DVC's lock on the repository is free."""
    try:
        locks = json.loads(DVC_LOCK.read_text(encoding="utf-8"))
        readers = [entry for entries in locks.get("read", {}).values() for entry in entries]
        pids = {int(entry["pid"]) for entry in [*locks.get("write", {}).values(), *readers]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return any(_is_dvc_process(pid) for pid in pids)


def _is_dvc_process(pid: int) -> bool:
    import psutil

    try:
        return any("dvc" in word for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
