"""The checks of `tuneline doctor`: each looks at one thing that a run needs, and says what to do if it is missing."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pipeline.checkout.layout import PARAMS, locate
from pipeline.checkout.processes import run_json
from stages.errors import UserError, first_line

CONSTRAINTS = Path("constraints.txt")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", re.MULTILINE)
SHOWN_DIFFERENCES = 5
LITTLE_SPACE = 5 * 2**30  # bytes: a model of 110 M weights takes 0.4 GB, a checkpoint of its training run 1.3 GB

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """What a check found; a `fault` makes a run fail, and a `warning` what some runs need."""

    name: str
    state: State
    detail: str
    remedy: str | None = None


def examine() -> Iterator[Finding]:
    """Yield the finding of each check, as it is made; the project is the working directory."""
    checks: dict[str, Callable[[], Finding]] = {
        "packages": check_packages, "parameters": check_parameters, "machine": check_machine, "disk": check_disk,
        "git": check_git, "DVC remote": check_remote, "MLflow": check_mlflow, "Prefect": check_prefect,
    }  # fmt: skip
    for name, check in checks.items():
        try:
            yield check()
        except UserError as error:
            yield Finding(name, "fault", str(error))


def check_packages() -> Finding:
    """Compare the installed packages with constraints.txt."""
    pins = dict(PIN.findall(CONSTRAINTS.read_text(encoding="utf-8")))
    different = []
    for name, pinned in pins.items():
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue  # of an optional part
        if installed != pinned:
            different.append(f"{name} {installed}, not {pinned}")
    if not different:
        return Finding("packages", "ok", f"as {CONSTRAINTS} pins them")
    more = f" and {len(different) - SHOWN_DIFFERENCES} more" if len(different) > SHOWN_DIFFERENCES else ""
    detail = f"{', '.join(different[:SHOWN_DIFFERENCES])}{more}: a model may not be rebuilt bit for bit"
    return Finding("packages", "warning", detail, "make install")


def check_parameters() -> Finding:
    """Validate all sections of params.yaml."""
    from pipeline.checkout.params_file import check_params

    check_params()
    return Finding("parameters", "ok", f"{locate(PARAMS)} is valid")


def check_machine() -> Finding:
    """Ask torch which device and precision training takes."""
    from rich.filesize import decimal

    machine = run_json("stages.tools.check_machine", locate(PARAMS), on_progress=lambda _: None)
    build = f"CUDA {machine['cuda_build']}" if machine["cuda_build"] else "CPU"
    if machine["refusal"]:
        return Finding("machine", "fault", machine["refusal"], _gpu_remedy(machine))
    threads = "" if machine["device"] == "cuda" else f" with {machine['threads']} threads"
    device = ", ".join(machine["gpus"]) if machine["device"] == "cuda" else machine["device"]
    detail = (
        f"torch {machine['torch']} ({build}) trains on {device} in {machine['precision']}{threads}; "
        f"{decimal(machine['free_bytes'])} of memory are free"
    )
    if machine["has_gpu"] and machine["device"] != "cuda":
        why = machine["gpu_fault"] or "torch is built for CPUs alone"
        return Finding("machine", "warning", f"{detail}. The GPU is not used: {why}", _gpu_remedy(machine))
    return Finding("machine", "ok", detail)


def _gpu_remedy(machine: dict[str, Any]) -> str | None:
    if not machine["has_gpu"]:
        return None
    if machine["cuda_build"] is None:
        pinned = machine["torch"].partition("+")[0]
        return f"pip install --force-reinstall torch=={pinned}, from an index that has builds for CUDA"
    return "install the NVIDIA driver that this build needs; `nvidia-smi` shows the present one"


def check_disk() -> Finding:
    """Look at the space where outputs, checkpoints and DVC's cache lie."""
    from rich.filesize import decimal

    free = shutil.disk_usage(".").free
    detail = f"{decimal(free)} free"
    if free < LITTLE_SPACE:
        return Finding("disk", "warning", f"only {detail}", "tuneline gc shows what nothing uses any more")
    return Finding("disk", "ok", detail)


def check_git() -> Finding:
    """Ask git for the commit that a model's lineage would name."""
    from stages.tracking.git import git_state

    state = git_state()
    if state.commit is None:
        return Finding("git", "fault", "there is no commit, so no model could be rebuilt", "git add -A && git commit")
    changed = ", with uncommitted changes, which the lineage record holds" if state.dirty else ""
    return Finding("git", "ok", f"commit {state.commit[:12]}{changed}")


def check_remote() -> Finding:
    """Write a file to the default DVC remote and remove it."""
    from dvc.config import NoRemoteError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo, tempfile.NamedTemporaryFile() as probe:
            remote = repo.cloud.get_remote()
            target = remote.fs.join(remote.path, Path(probe.name).name)
            try:
                remote.fs.makedirs(remote.path, exist_ok=True)
                remote.fs.put_file(probe.name, target)
                remote.fs.rm_file(target)
            except Exception as error:  # each kind of remote has its own errors
                raise UserError(f"{remote.path} is not writable: {first_line(error)}") from error
            return Finding("DVC remote", "ok", f"{remote.path} is writable")
    except NoRemoteError:
        detail = "none: workers on other machines could not share what a stage has made"
        return Finding("DVC remote", "warning", detail, "dvc remote add --default NAME URL")
    except DvcException as error:
        raise UserError(first_line(error)) from error


def check_mlflow() -> Finding:
    """Connect to the tracking store."""
    from stages.tracking.client import connect, shown_uri, translate_errors

    with translate_errors():
        connect().search_experiments(max_results=1)
    return Finding("MLflow", "ok", f"{shown_uri()} answers")


def check_prefect() -> Finding:
    """Ask the Prefect server that is configured whether it is well."""
    from pipeline.runs.launch import prepare_prefect
    from pipeline.runs.prefect_server import ask_server

    prepare_prefect()
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return Finding("Prefect", "ok", "no server is set: each run starts a temporary one")
    ask_server()
    return Finding("Prefect", "ok", f"{url} answers")
