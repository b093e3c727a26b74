"""`python -m tests.promises.killed PARAMS` trains with a checkpoint after each step, until SIGKILL comes after some."""

import itertools
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from stages import train
from stages.fitting import fit
from stages.training.checkpoints import Progress
from stages.training.loop import PendingStep

KILLED_AFTER = 5  # steps


def main(params: Path) -> None:
    """Train; by the clock of this process each step takes a second."""
    record_step, clock = fit.record_step, itertools.count()

    def record_and_die(queued: PendingStep, run: fit.TrainingRun, progress: Progress) -> None:
        record_step(queued, run, progress)
        if queued.step > KILLED_AFTER and list(Path(".checkpoints").glob("*/step-*")):
            os.kill(os.getpid(), signal.SIGKILL)

    fit.record_step = record_and_die
    fit.time = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)  # type: ignore[assignment]
    train.main(params)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
