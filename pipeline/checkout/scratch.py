"""Temporary folders of commands in .tuneline; those of killed commands are deleted by the next call."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WORK = Path(".tuneline")


@contextmanager
def work_folder(command: str) -> Iterator[Path]:
    """Provide a temporary folder for this call of a command, in a part of the checkout that git and DVC ignore."""
    for left in WORK.glob(f"{command}-*"):
        with suppress(ValueError, PermissionError):
            try:
                os.kill(int(left.name.split("-")[1]), 0)
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)
    WORK.mkdir(exist_ok=True)
    prefix = f"{command}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=WORK, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
