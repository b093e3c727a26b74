"""Start the processes of a training run with torchrun's elastic launcher, and report how they ended."""

import logging
import os
import signal
import sys
from pathlib import Path

from stages.errors import TryAgainError, UserError

# Exit codes of processes that have printed the reason.
EXPLAINED = (UserError.exit_code, TryAgainError.exit_code, 128 + signal.SIGTERM)


def is_torchrun_child() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(module: str, params_file: Path, *, processes: int) -> None:
    """Run `python -m module --params FILE` in `processes` processes on this machine and wait for all of them.

    The first that fails ends the others. SystemExit with its exit code if it failed; TryAgainError if it was killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the errors below say what matters
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0",
        max_restarts=0, monitor_interval=0.2, run_id="tuneline",
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", module, "--params", str(params_file))
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            sys.exit(failure.exitcode if failure.exitcode in EXPLAINED else 1)
        name = signal.Signals(-failure.exitcode).name
        raise TryAgainError(
            f"process {rank} of {processes} was ended by {name}, and the others with it. "
            "The same command resumes from the last checkpoint."
        ) from None
