"""Where and from what a stage was run: the commit, what differs from it, the machine, the installed versions.

None of it may change a result or stand in an output of a stage; it goes to MLflow.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from stages.errors import UserError

FLOW_RUN = "TUNELINE_FLOW_RUN"  # the variable by which a flow tells its stage
LOCK = "dvc.lock"
PARAMS = "params.yaml"


def execution() -> dict[str, Any]:
    """What is to be known of the stage that runs here and now: see `git_state` and `environment`."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "flow_run": os.environ.get(FLOW_RUN),
        **git_state(),
        "environment": environment(),
    }


@cache
def environment() -> dict[str, Any]:
    """Python, platform, processor, cores, GPU if the stage has torch, and the version of every installed package."""
    # What pip left of an installation that was cut off has no name.
    packages = {found.metadata["Name"].lower(): found.version for found in distributions() if found.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": _gpu(),
        "packages": dict(sorted(packages.items())),
    }


def git_state() -> dict[str, Any]:
    """`commit`, and whether files that git keeps differ from it (`dirty`); None and False where git has no commit.

    dvc.lock and params.yaml are left out: a run changes them, and they are kept in full. `remote` is the address of
    origin without a password.
    """
    commit = _git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False).decode().strip() or None
    remote = _git("remote", "get-url", "origin", check=False).decode().strip()
    return {
        "commit": commit,
        "dirty": bool(commit and _git("diff", "--name-only", "HEAD", *_but_for_runs())),
        "remote": without_password(remote) or None,
    }


def git_diff(untracked: Iterable[str]) -> bytes:
    """What `git apply --binary` needs to make the present files from the commit, these untracked ones included.

    As `git_state`, without dvc.lock and params.yaml; empty where nothing differs or git has no commit.
    """
    if git_state()["commit"] is None:
        return b""
    with tempfile.TemporaryDirectory() as folder:
        # An index of our own, in which the untracked files can be noted without the user's seeing any of it.
        index = Path(folder) / "index"
        shutil.copyfile(_git("rev-parse", "--git-path", "index").decode().strip(), index)
        environment = {**os.environ, "GIT_INDEX_FILE": str(index)}
        names = list(untracked)
        if names:
            _git("add", "--intent-to-add", "--", *names, environment=environment)
        # Whatever the user's configuration makes of a diff, this one can be applied.
        own = ["--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3"]
        return _git("diff", "--binary", "--full-index", *own, "HEAD", *_but_for_runs(), environment=environment)


def untracked_files(*paths: str) -> list[str]:
    """The files at or below these paths that git neither keeps nor ignores."""
    return _listed(paths, "--others", "--exclude-standard")


def tracked_files(*paths: str) -> list[str]:
    """The files at or below these paths that git keeps, as they are or as they were."""
    return _listed(paths, "--cached")


def without_password(address: str) -> str:
    """The address of a repository as it can be shown."""
    return re.sub(r"(?<=://)[^/@]*@", "***@", address)


def _listed(paths: Iterable[str], *options: str) -> list[str]:
    return [name for name in _git("ls-files", "-z", *options, "--", *paths, check=False).decode().split("\0") if name]


def _but_for_runs() -> list[str]:
    return ["--", ".", f":(exclude){LOCK}", f":(exclude){PARAMS}"]


def _processor() -> str:
    """The processor's name; Linux keeps it where `platform` does not look."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _gpu() -> str | None:
    torch = sys.modules.get("torch")  # not imported for this alone
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def _git(*words: str, check: bool = True, environment: dict[str, str] | None = None) -> bytes:
    """What git prints; nothing where it fails, is not installed, or this is no checkout, if that is allowed."""
    try:
        finished = subprocess.run(["git", *words], env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        finished = subprocess.CompletedProcess(words, 127, b"", b"git is not installed")
    if finished.returncode and check:
        raise UserError(f"git {words[0]} failed: {finished.stderr.decode('utf-8', 'replace').strip()}")
    return b"" if finished.returncode else finished.stdout
