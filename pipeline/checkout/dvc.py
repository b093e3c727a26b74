"""Runs one stage through DVC."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

from pipeline.checkout.layout import stage_address
from pipeline.checkout.locks import drop_stale_locks
from pipeline.checkout.processes import child_environment, read_lines
from pipeline.checkout.status import Outcome
from pipeline.signals import ends_with_command
from stages.errors import TryAgainError, UserError

# Advice of `dvc repro` to whoever called it by hand, which is left out of our output.
DVC_HINT = re.compile(
    r"(Generating|Updating) lock file|To track the changes|\s+git add|To enable auto staging|\s+dvc config"
    r"|Use `dvc push`|ERROR: failed to reproduce .* exited with 2$"
)


class StageFailedError(Exception):
    """A stage failed.

    `exit_code` is negative for a signal, and None if DVC did not start the stage; then `refusal` is DVC's message.
    """

    def __init__(self, stage: str, exit_code: int | None, refusal: str) -> None:
        self.is_user_error = exit_code in (None, UserError.exit_code)
        self.is_retryable = exit_code == TryAgainError.exit_code
        if exit_code is None:
            message = f"{stage} was not run: {refusal}"
        elif exit_code == UserError.exit_code:
            message = f"{stage} stopped on an error in its input"
        elif exit_code == TryAgainError.exit_code:
            message = f"{stage} failed for a temporary reason; run it again later"
        elif exit_code in (128 + signal.SIGTERM, 128 + signal.SIGINT):
            message = f"{stage} was stopped from outside"
        elif exit_code < 0:
            message = f"{stage} was killed by signal {-exit_code}; if nobody sent it, memory may have run out"
        else:
            message = f"{stage} failed with exit code {exit_code}, a bug in the program"
        super().__init__(message)


def reproduce(
    stage: str,
    *,
    on_line: Callable[[str], None],
    on_progress: Callable[[str], None],
    force: bool = False,
    commit: bool = True,
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Run one stage of the current pipeline through DVC if it is stale.

    `on_line` gets each line of its output, `on_progress` each state of its progress bar. `force` runs a fresh stage as
    well; without `commit` its outputs are not added to DVC's cache; `variables` are added to its environment.
    StageFailedError if it fails.
    """
    options = [*(["--force"] if force else []), *([] if commit else ["--no-commit"])]
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", *options, stage_address(stage)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(progress=True) | dict(variables or {}),
        start_new_session=True,  # so that it can be ended with all that it started
    )
    assert process.stdout is not None
    outcome: Outcome = "fresh"
    exit_code: int | None = None
    refusal = ""
    try:
        with process.stdout, ends_with_command(process):
            for line, is_progress in read_lines(process.stdout.fileno()):
                if is_progress:
                    on_progress(line)
                    continue
                if line.startswith("Running stage "):
                    outcome = "executed"
                elif "is cached - skipping run" in line:
                    outcome = "restored"
                elif match := re.search(r"exited with (-?\d+)$", line):
                    exit_code = int(match[1])
                elif line.startswith("ERROR: "):
                    refusal = line.removeprefix("ERROR: ")
                if not DVC_HINT.match(line):
                    on_line(line)
            returncode = process.wait()
    finally:
        drop_stale_locks()  # of a DVC that was killed
    if returncode:
        raise StageFailedError(stage, exit_code, refusal)
    return outcome
