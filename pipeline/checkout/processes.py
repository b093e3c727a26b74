"""Runs programs of stages/ as child processes: their environment, their output, and the JSON that tools print."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from stages.errors import UserError


def child_environment(*, progress: bool = False) -> dict[str, str]:
    """The environment for a child process: this interpreter first in PATH, unbuffered output.

    The child shows its progress bar if `progress` says so or stderr is a terminal.
    """
    from stages.runtime.progress import VARIABLE as PROGRESS

    variables = dict(os.environ)
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    variables["PYTHONUNBUFFERED"] = "1"
    variables.pop(PROGRESS, None)
    if sys.stderr.isatty() or progress:
        variables[PROGRESS] = "1"
    if sys.stderr.isatty():
        variables["COLUMNS"] = str(shutil.get_terminal_size().columns)
    return variables


def read_lines(descriptor: int) -> Iterator[tuple[str, bool]]:
    """Read a stream line by line as output arrives; with each line, whether it is a state of a progress bar.

    Such a state ends in a carriage return.
    """
    pending = b""
    while chunk := os.read(descriptor, 65536):
        *complete, pending = re.split(rb"(?<=[\r\n])", pending + chunk)
        for raw in complete:
            text = raw.decode("utf-8", "replace").rstrip()
            if text.strip():
                yield text.lstrip("\r"), raw.endswith(b"\r")
    if pending.strip():
        yield pending.decode("utf-8", "replace").strip(), False


def run_json(module: str, params: Path, *, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Run `python -m MODULE --params PARAMS` and return the JSON object that it prints.

    UserError with its message if it exits with 2.
    """
    with (
        tempfile.TemporaryFile() as output,  # a pipe would fill up while stderr is read
        subprocess.Popen(
            [sys.executable, "-m", module, "--params", str(params)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            env=child_environment(),
        ) as process,
    ):
        assert process.stderr is not None
        messages: list[str] = []
        try:
            for line, is_progress in read_lines(process.stderr.fileno()):
                if is_progress:
                    on_progress(line)
                else:
                    messages.append(line)
        except BaseException:
            process.kill()
            raise
        if process.wait() == UserError.exit_code:
            raise UserError("\n".join(messages).removeprefix("error: "))
        if process.returncode:
            raise RuntimeError("\n".join([f"{module} failed, a bug in the program:", *messages]))
        output.seek(0)
        return cast(dict[str, Any], json.load(output))
