"""The project folder as DVC sees it: which stages are stale and why, and how one is run."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout

from pipeline.children import environment, lines, told
from stages.artifacts import read_json
from stages.errors import ArtifactError, TryAgainError, UserError, first_line
from stages.registration import find_registration, read_marker, write_marker

PARAMS = Path("params.yaml")
REGISTRATION = Path("data/registration.json")
TRAINING = Path("data/model/training.json")
METRICS = Path("data/report/metrics.json")
PREDICTIONS = Path("data/report/predictions.parquet")
PAGE = Path("data/report/report.html")
ENCODED = "data/encoded"
TOKENIZE = "tokenize"
TRAIN = "train"
EVALUATE = "evaluate"
REGISTER = "register"
STAGES = (TOKENIZE, TRAIN, EVALUATE, REGISTER)
MISSING = " is missing"

RUN_LOCK = Path(".tuneline/run.lock")
DVC_LOCK = Path(".dvc/tmp/rwlock")
STOP_PATIENCE = 10  # seconds in which a stage may end by itself once it was asked to
# What `dvc repro` says to a person who called it by hand; the flow has its own words for these.
DVC_HINT = re.compile(
    r"(Generating|Updating) lock file|To track the changes|\s+git add|To enable auto staging|\s+dvc config"
    r"|Use `dvc push`|ERROR: failed to reproduce .* exited with 2$"
)

How = Literal["executed", "restored", "fresh"]


@dataclass(frozen=True)
class StageState:
    """Whether a stage must run, and every reason why."""

    name: str
    because: list[str]

    @property
    def fresh(self) -> bool:
        """Nothing it depends on has changed, and what it made is there."""
        return not self.because


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


def enter_root() -> None:
    """Make the root of the project the working directory, as DVC does for its stages."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            os.chdir(folder)
            return
    raise UserError(f"{here} is not inside a Tuneline project: no dvc.yaml here or above. Change to your checkout.")


@contextmanager
def alone(on_wait: Callable[[str], None]) -> Iterator[None]:
    """Within, no other `tuneline run` changes this checkout; one that does is waited for, and told of."""
    RUN_LOCK.parent.mkdir(exist_ok=True)
    lock = FileLock(RUN_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait("another run is at work in this checkout; this one begins when that has ended")
        lock.acquire()
    try:
        drop_stale_locks()
        yield
    finally:
        lock.release()


def drop_stale_locks() -> None:
    """Delete DVC's lock on paths if no process of DVC has it any more.

    DVC itself takes any process with the number of a dead one for the one that locked.
    """
    if not is_dvc_at_work():
        DVC_LOCK.unlink(missing_ok=True)


def is_dvc_at_work() -> bool:
    """Whether a stage of this checkout runs, by whomever it was started; DVC's lock on the whole is free then."""
    try:
        held = json.loads(DVC_LOCK.read_text(encoding="utf-8"))
        readers = [entry for entries in held.get("read", {}).values() for entry in entries]
        numbers = {int(entry["pid"]) for entry in [*held.get("write", {}).values(), *readers]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return any(_is_dvc(number) for number in numbers)


def _is_dvc(number: int) -> bool:
    try:
        return any("dvc" in word for word in psutil.Process(number).cmdline())
    except psutil.Error:
        return False


def stage_states() -> list[StageState]:
    """All stages, upstream first. A stage below a stale one is stale too: its input is about to be made anew."""
    import networkx
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            changes = repo.status()
            graph = repo.index.graph
            states: dict[str, StageState] = {}
            for stage in networkx.dfs_postorder_nodes(graph):
                if stage.is_data_source:  # data/corpora/mine.dvc: data that `dvc add` tracks, no stage
                    continue
                because = _reasons(stage, changes.get(stage.addressing, []))
                upstream = [states[a.addressing] for a in graph.successors(stage) if a.addressing in states]
                because += [f"{state.name} runs first" for state in upstream if not state.fresh]
                states[stage.addressing] = StageState(stage.addressing, because)
    except LockError as error:
        raise UserError(f"Another run holds this checkout: {error}") from None
    except (DvcException, AssertionError) as error:
        check_params()  # it may be a value that dvc.yaml needs; this says it better
        raise UserError(f"DVC: {first_line(error)}") from error
    if states[REGISTER].fresh and not is_registered():
        states[REGISTER] = StageState(REGISTER, ["the registry does not have this model as challenger or champion"])
    return list(states.values())


def is_registered() -> bool:
    """Whether data/registration.json names the challenger or champion of the present registry, asked if need be."""
    try:
        registration = read_json(REGISTRATION)
    except ArtifactError:
        return False
    name, model_digest = registration["name"], registration["model_digest"]
    marker = read_marker()
    if marker is not None and (marker.name, marker.model_digest) == (name, model_digest):
        return True
    found = find_registration(name, model_digest)
    if found:
        write_marker(found)
    return found is not None


def check_inputs(states: list[StageState]) -> None:
    """Refuse to start a run whose corpus lies nowhere, of which DVC would say only that a stage failed."""
    because = next(state.because for state in states if state.name == TOKENIZE)
    missing = [reason.removesuffix(MISSING) for reason in because if reason.endswith(MISSING)]
    inputs = [path for path in missing if path != ENCODED]
    if inputs:
        raise UserError(
            f"{', '.join(inputs)}: no such file or folder, and {TOKENIZE} needs it. "
            "Check data.dir in params.yaml; `dvc pull` fetches what DVC keeps."
        )


def check_params(text: str | None = None) -> None:
    """Check params.yaml, or a text that may become it, with the stages' own rules; UserError with all faults."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = PARAMS if text is None else Path(folder) / PARAMS
        if text is not None:
            candidate.write_text(text, encoding="utf-8")
        finished = subprocess.run(
            [sys.executable, "-m", "stages.check_params", "--params", str(candidate)],
            capture_output=True,
            text=True,
            check=False,
        )
    if finished.returncode:
        message = finished.stderr.strip().removeprefix("error: ").replace(str(candidate), str(PARAMS))
        raise UserError(message)


def check_corpus(text: str, *, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """What `stages.check_corpus` finds with `text` as params.yaml; UserError if the params cannot be used."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / PARAMS
        candidate.write_text(text, encoding="utf-8")
        try:
            return told("stages.check_corpus", candidate, on_progress=on_progress)
        except UserError as error:
            raise UserError(str(error).replace(str(candidate), str(PARAMS))) from None


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


def _reasons(stage: Any, changes: list[Any]) -> list[str]:
    if changes and not any(dependency.hash_info for dependency in stage.deps):
        missing = [f"{dep.def_path}{MISSING}" for dep in stage.deps if not dep.exists]
        return ["it never ran here", *missing]
    reasons: list[str] = []
    for change in changes:
        if isinstance(change, str):
            reasons.append("its command changed" if change == "changed command" else change)
            continue
        for path, what in change.get("changed deps", {}).items():
            reasons += _parameter_reasons(stage, path, what) if isinstance(what, dict) else [_file_reason(path, what)]
        reasons += [_file_reason(path, what) for path, what in change.get("changed outs", {}).items()]
    return reasons or [str(change) for change in changes]


def _file_reason(path: str, what: str) -> str:
    words = {"deleted": MISSING.strip(), "new": "is new", "modified": "changed", "not in cache": "is not in the cache"}
    return f"{path} {words.get(what, what)}"


def _parameter_reasons(stage: Any, path: str, sections: dict[str, str]) -> list[str]:
    """`train.learning_rate: 0.0003 -> 5e-05` for each value that differs from the one that ran last."""
    dependency = next(dep for dep in stage.deps if dep.def_path == path and hasattr(dep, "read_params"))
    before = dependency.hash_info.value or {}
    now = dependency.read_params()
    reasons: list[str] = []
    for section in sections:
        reasons += _differences(section, before.get(section), now.get(section))
    return reasons


def _differences(name: str, before: Any, now: Any) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in dict.fromkeys([*before, *now])
            for line in _differences(f"{name}.{key}", before.get(key), now.get(key))
        ]
    if before == now:
        return []
    return [f"{name}: new" if before is None else f"{name}: {before} -> {now}"]
