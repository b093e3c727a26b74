"""The execution of a stage: when, by which run, at which commit, on which machine, with which packages.

None of it may change a result or be part of a stage's output; it goes to MLflow.
"""

import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from stages.errors import UserError, first_line
from stages.tracking.git import GitState, git_state

FLOW_RUN = "TUNELINE_FLOW_RUN"  # the environment variable with which a flow passes its id to its stage


@dataclass(frozen=True)
class Environment:
    """The machine and its installed packages; `gpu` is None where there is none or the stage does not use torch."""

    python: str
    platform: str
    processor: str
    cores: int
    gpu: str | None
    packages: dict[str, str]  # versions by name


@dataclass(frozen=True)
class Execution:
    """One execution of a stage. `time` is ISO 8601 in UTC; `dirty` says whether tracked files differ from the commit.

    Where the commit is not known, `dirty` is None and `reason` says why. `environment` is None where it is recorded
    elsewhere, `mlflow_run` where MLflow keeps no run for the stage.
    """

    time: str
    flow_run: str | None
    commit: str | None
    dirty: bool | None
    remote: str | None
    reason: str | None = None
    environment: Environment | None = None
    mlflow_run: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields for JSON, without `reason`, `environment` and `mlflow_run` where they are None."""
        optional = ("reason", "environment", "mlflow_run")
        return {key: value for key, value in asdict(self).items() if value is not None or key not in optional}


def current_execution() -> Execution:
    """The execution of the stage that runs in this process."""
    try:
        state = git_state()
    except UserError as error:  # register refuses the model; what was computed until then is kept
        state = GitState(None, None, None, first_line(error))
    return Execution(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        flow_run=os.environ.get(FLOW_RUN),
        commit=state.commit,
        dirty=state.dirty,
        remote=state.remote,
        reason=state.reason,
        environment=current_environment(),
    )


@cache
def current_environment() -> Environment:
    """The environment of this process."""
    # An interrupted installation of pip can leave a distribution without a name.
    packages = {found.metadata["Name"].lower(): found.version for found in distributions() if found.metadata["Name"]}
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        gpu=_gpu(),
        packages=dict(sorted(packages.items())),
    )


def _processor() -> str:
    """The processor's name; `platform` does not read it from where Linux keeps it."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _gpu() -> str | None:
    torch = sys.modules.get("torch")  # importing it for this alone would take seconds
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None
