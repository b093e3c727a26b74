"""Programs of stages/ as children: their environment, their lines and progress, the JSON object that some print."""

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
from stages.runtime.progress import VARIABLE as PROGRESS


def environment(*, watched: bool = False) -> dict[str, str]:
    """Our environment, with `python` being ours, and word of whether somebody looks on: a person, or `watched`."""
    variables = dict(os.environ)
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    variables["PYTHONUNBUFFERED"] = "1"
    variables.pop(PROGRESS, None)
    if sys.stderr.isatty() or watched:
        variables[PROGRESS] = "1"
    if sys.stderr.isatty():
        variables["COLUMNS"] = str(shutil.get_terminal_size().columns)
    return variables


def lines(descriptor: int) -> Iterator[tuple[str, bool]]:
    """Lines of a stream as they come, and apart from them what ends in a carriage return: a progress bar's states."""
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
    """The JSON object that `python -m MODULE --params PARAMS` prints; UserError with its message if it refuses."""
    with (
        tempfile.TemporaryFile() as output,  # not a pipe, which would fill up while we read the other
        subprocess.Popen(
            [sys.executable, "-m", module, "--params", str(params)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        assert process.stderr is not None
        said: list[str] = []
        try:
            for line, is_progress in lines(process.stderr.fileno()):
                if is_progress:
                    on_progress(line)
                else:
                    said.append(line)
        except BaseException:
            process.kill()
            raise
        if process.wait() == UserError.exit_code:
            raise UserError("\n".join(said).removeprefix("error: "))
        if process.returncode:
            raise RuntimeError("\n".join([f"{module} failed, a fault of the program:", *said]))
        output.seek(0)
        return cast(dict[str, Any], json.load(output))
