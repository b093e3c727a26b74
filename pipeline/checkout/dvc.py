"""Runs one stage through DVC."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

from pipeline.checkout.locks import drop_stale_locks
from pipeline.checkout.processes import environment, lines
from stages.errors import TryAgainError, UserError

How = Literal["executed", "restored", "fresh"]
STOP_PATIENCE = 10  # seconds in which a stage may end by itself once it was asked to
# What `dvc repro` says to a person who called it by hand; the flow has its own words for these.
DVC_HINT = re.compile(
    r"(Generating|Updating) lock file|To track the changes|\s+git add|To enable auto staging|\s+dvc config"
    r"|Use `dvc push`|ERROR: failed to reproduce .* exited with 2$"
)


class StageFailedError(Exception):
    """A stage did not run well: its exit code, negative for a signal; None if DVC refused to run it at all."""

    def __init__(self, stage: str, exit_code: int | None, refusal: str) -> None:
        self.is_users_fault = exit_code in (None, UserError.exit_code)
        self.may_try_again = exit_code == TryAgainError.exit_code
        if exit_code is None:
            message = f"{stage} was not run: {refusal}"
        elif exit_code == UserError.exit_code:
            message = f"{stage} stopped on a fault in its input"
        elif exit_code == TryAgainError.exit_code:
            message = f"{stage} could not be done now; trying again may help"
        elif exit_code in (128 + signal.SIGTERM, 128 + signal.SIGINT):
            message = f"{stage} was stopped from outside"
        elif exit_code < 0:
            message = f"{stage} was killed by signal {-exit_code}; if nobody did that, memory may have run out"
        else:
            message = f"{stage} failed with exit code {exit_code}, a fault of the program"
        super().__init__(message)


def reproduce(
    stage: str,
    *,
    on_line: Callable[[str], None],
    on_progress: Callable[[str], None],
    force: bool = False,
    commit: bool = True,
    variables: Mapping[str, str] | None = None,
) -> How:
    """Run one stage through DVC if it is stale, handing on each line of its output and each state of its progress bar.

    `force` runs it in any case; without `commit` DVC's cache gets nothing of it; `variables` are added to its
    environment. StageFailedError if it ends badly.
    """
    options = [*(["--force"] if force else []), *([] if commit else ["--no-commit"])]
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", *options, stage]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(watched=True) | dict(variables or {}),
        start_new_session=True,  # so that it can be stopped with all that it started
    )
    assert process.stdout is not None
    how: How = "fresh"
    exit_code: int | None = None
    refusal = ""
    try:
        for line, is_progress in lines(process.stdout.fileno()):
            if is_progress:
                on_progress(line)
                continue
            if line.startswith("Running stage "):
                how = "executed"
            elif "is cached - skipping run" in line:
                how = "restored"
            elif found := re.search(r"exited with (-?\d+)$", line):
                exit_code = int(found[1])
            elif line.startswith("ERROR: "):
                refusal = line.removeprefix("ERROR: ")
            if not DVC_HINT.match(line):
                on_line(line)
        returncode = process.wait()
    except BaseException:
        _stop(process)
        drop_stale_locks()
        raise
    finally:
        process.stdout.close()
    if returncode:
        raise StageFailedError(stage, exit_code, refusal)
    return how


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a stage with all its processes: asked first, then made to. DVC is gone before a training has saved itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_PATIENCE
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)  # raises once nobody is left
                time.sleep(0.1)
