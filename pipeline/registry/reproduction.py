"""Rebuilds a registered model from what its version records alone, and says how alike the two are.

It all happens in a temporary worktree, at the recorded commit with the recorded patch, and the rebuilt model is
registered in a temporary registry; the checkout, DVC's cache and the models of the registry do not change.
"""

import getpass
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from pipeline.checkout.dvc import StageFailedError, reproduce
from pipeline.checkout.layout import LOCK, METRICS, PREDICTIONS, REGISTRATION, STAGES, TRAINING, locate
from pipeline.checkout.scratch import work_folder
from pipeline.checkout.status import MISSING, stage_states
from pipeline.checkout.worktree import worktree
from pipeline.formatting import NO_REASON
from pipeline.registry.versions import name_primary, resolve
from stages.artifacts import read_json
from stages.errors import ArtifactError, PretrainedError, RegistryError, UserError
from stages.tracking.client import SQLITE, connect, translate_errors
from stages.tracking.environment import Environment, current_environment
from stages.tracking.lineage_record import (
    STAGES_WITH_OUTPUTS,
    FileEntry,
    LineageFiles,
    TrainingEnvironment,
    read_lock,
    record_stage,
)
from stages.tracking.parent import fetch_parent
from stages.tracking.registry import DIGEST_TAG
from stages.tracking.version_artifacts import SPLIT, altered_files, load_task, load_version_task, read_lineage
from stages.training.record import read_training

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

Verdict = Literal["bit-identical", "same predictions", "same scores", "different"]
CERTIFICATES = "certificates"  # the artifact folder of the model's run that holds the certificates
REPRODUCED_TAG = "tuneline.reproduced"
COMMAND = "reproduce"
# The ends of the reasons for which every stage of a new worktree is stale; a changed input has another reason.
EXPECTED_REASONS = (MISSING, " runs first", "is not in the cache")


@dataclass(frozen=True)
class Difference:
    """An input or an output of a stage that differs from the record, or the failure of the stage."""

    stage: str
    kind: Literal["input", "output", "failure"]
    what: str


@dataclass(frozen=True)
class Certificate:
    """How alike a version and its rebuilt model are; the differences are in the order of the pipeline."""

    name: str
    version: int
    verdict: Verdict
    first_difference: Difference | None
    differences: list[Difference]
    environment_differences: list[str]
    altered: list[str]  # lineage files that were changed after the registration
    primary: dict[str, str]  # the name of the primary score
    score: dict[str, float | None]  # the primary score on test, "recorded" and "rebuilt"
    time: str
    who: str
    task: str

    def to_json(self) -> dict[str, Any]:
        """The fields, also by the keys that older programs know."""
        return load_task(self.task).add_old_keys(asdict(self))


@dataclass(frozen=True)
class Recorded:
    """What the registry holds of a version; `predictions` and `primary` are empty if they cannot be read."""

    version: "ModelVersion"
    lineage: LineageFiles
    predictions: dict[str, Any]  # by split
    primary: dict[str, Any]  # on test: name, value, low, high, support


def reproduce_version(
    reference: str, *, strict: bool, on_line: Callable[[str], None], on_progress: Callable[[str], None]
) -> Certificate:
    """Rebuild the version that a reference stands for (see `versions.resolve`), and store the certificate with it.

    UserError if its commit or its data cannot be found, and with `strict` also if the installed environment differs
    from the recorded one.
    """
    with translate_errors():
        client = connect()
        recorded = _read_recorded(client, resolve(client, reference))
    version, record = recorded.version, recorded.lineage.record
    label = f"{version.name}/{version.version}"
    if record.git.commit is None:
        reason = record.git.reason or NO_REASON
        raise UserError(f"{label} cannot be rebuilt: it has no commit ({reason}), so its code is not known")
    _fetch_parent(recorded)
    environment_changes = compare_environments(record.environment, current_environment())
    for line in environment_changes:
        on_line(f"environment: {line}")
    if strict and environment_changes:
        raise UserError(
            f"--strict: the environment differs from that of {label}, as listed above. Install what constraints.txt of "
            "its commit pins, or run without --strict."
        )
    altered = altered_files(version, recorded.lineage)
    for name in altered:
        on_line(f"warning: the recorded {name} is not the one that was registered")

    with work_folder(COMMAND) as work, worktree(work / "tree", recorded.lineage, on_line):
        registry = f"{SQLITE}{work.absolute()}/scratch.db"
        differences = _changed_inputs()
        for difference in differences:
            on_line(f"{difference.stage}: {difference.what}")
        differences += _run_all(recorded.lineage, registry, on_line=on_line, on_progress=on_progress)
        differences.sort(key=lambda difference: STAGES.index(difference.stage))
        environment_changes += _compare_machines(record.environment)
        verdict, score = judge(recorded, differences)
    certificate = Certificate(
        name=version.name,
        version=int(version.version),
        verdict=verdict,
        first_difference=differences[0] if differences else None,
        differences=differences,
        environment_differences=environment_changes,
        altered=altered,
        primary={"name": name_primary(version)},
        score={"recorded": recorded.primary.get("value"), "rebuilt": score},
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        task=load_version_task(version).name,
    )
    _store(client, version, certificate, on_line)
    return certificate


def _fetch_parent(recorded: Recorded) -> None:
    """Have the version that it went on from in the project, if it did; UserError, which names it, if it is gone."""
    version = recorded.version
    try:
        fetch_parent(recorded.lineage.record.params.get("model", {}), task=load_version_task(version).name)
    except PretrainedError as error:
        raise UserError(f"{version.name}/{version.version} cannot be rebuilt: {error}") from None


def compare_environments(recorded: TrainingEnvironment, current: Environment) -> list[str]:
    """The differences in Python, processor, cores and packages, a line each."""
    pairs = {"python": (recorded.python, current.python), "processor": (recorded.processor, current.processor)}
    lines = [f"{key} {now} instead of {before}" for key, (before, now) in pairs.items() if now != before]
    if current.cores < recorded.threads:
        lines.append(f"{current.cores} cores for {recorded.threads} threads")
    before, now = recorded.packages, current.packages
    return lines + [
        f"{name} {now.get(name, 'none')} instead of {before.get(name, 'none')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _compare_machines(recorded: TrainingEnvironment) -> list[str]:
    """The differences in what the training run chose to compute with; none if it did not get that far."""
    with suppress(ArtifactError):
        current = read_training(locate(TRAINING).parent).machine
        return [
            f"{key} {value} instead of {getattr(recorded, key)}"
            for key, value in current.items()
            if value != getattr(recorded, key)
        ]
    return []


def _read_recorded(client: "MlflowClient", version: "ModelVersion") -> Recorded:
    scores = load_version_task(version).scores
    predictions: dict[str, Any] = {}
    primary: dict[str, Any] = {}
    # Without the report, the bytes can still be compared.
    with work_folder(COMMAND) as work, suppress(Exception):
        report = Path(client.download_artifacts(version.run_id or "", "report", str(work)))
        primary = scores.find_primary(read_json(report / METRICS.name)[SPLIT])
        predictions = scores.read_predictions(report / PREDICTIONS.name)
    return Recorded(version, read_lineage(client, version), predictions, primary)


def _changed_inputs() -> list[Difference]:
    """The inputs that differ from dvc.lock, except for those that other stages are about to make."""
    return [
        Difference(state.name, "input", reason)
        for state in stage_states()
        if state.name in STAGES_WITH_OUTPUTS
        for reason in state.because
        if not reason.endswith(EXPECTED_REASONS)
    ]


def _run_all(
    lineage: LineageFiles, registry: str, *, on_line: Callable[[str], None], on_progress: Callable[[str], None]
) -> list[Difference]:
    """Run the stages up to the first failure; return which outputs differ, and the failure."""
    differences: list[Difference] = []
    with _limit_cores(lineage.record.environment.threads):
        for stage in STAGES:
            on_line(f"{stage} runs again")
            try:
                reproduce(
                    stage,
                    on_line=on_line,
                    on_progress=on_progress,
                    force=True,
                    commit=False,
                    variables={"MLFLOW_TRACKING_URI": registry},
                )
            except StageFailedError as failure:
                return [*differences, Difference(stage, "failure", str(failure))]
            if stage in STAGES_WITH_OUTPUTS:
                differences += _changed_outputs(stage, lineage)
    return differences


def _changed_outputs(stage: str, lineage: LineageFiles) -> list[Difference]:
    before = _digests(lineage.record.stages[stage].outputs)
    now = _digests(record_stage(read_lock(locate(LOCK).read_bytes())[stage]).outputs)
    return [
        Difference(stage, "output", f"{path} {_describe_change(before.get(path), now.get(path))}")
        for path in sorted(before.keys() | now.keys())
        if before.get(path) != now.get(path)
    ]


def _digests(files: list[FileEntry]) -> dict[str, str]:
    return {file.path: file.digest for file in files}


def _describe_change(before: str | None, now: str | None) -> str:
    return "is missing" if now is None else "is new" if before is None else "has other bytes"


def judge(recorded: Recorded, differences: list[Difference]) -> tuple[Verdict, float | None]:
    """The strongest verdict that holds, and the primary score of the rebuilt model on test; None if a stage failed."""
    kinds = {difference.kind for difference in differences}
    if "failure" in kinds:
        return "different", None
    scores = load_version_task(recorded.version).scores
    score: float = scores.find_primary(read_json(locate(METRICS))[SPLIT])["value"]
    is_same_model = read_json(locate(REGISTRATION))["model_digest"] == recorded.version.tags.get(DIGEST_TAG)
    if "output" not in kinds and is_same_model:
        return "bit-identical", score
    predictions = scores.read_predictions(locate(PREDICTIONS))
    if recorded.predictions.keys() == predictions.keys() and all(
        scores.have_same_answers(recorded.predictions[split], predictions[split]) for split in predictions
    ):
        return "same predictions", score
    primary = recorded.primary
    return "same scores" if primary and primary["low"] <= score <= primary["high"] else "different", score


def _store(
    client: "MlflowClient", version: "ModelVersion", certificate: Certificate, on_line: Callable[[str], None]
) -> None:
    file = f"{CERTIFICATES}/{version.name}/{certificate.time.replace(':', '')}.json"
    try:
        with translate_errors():
            client.log_dict(version.run_id or "", certificate.to_json(), file)
            summary = f"{certificate.verdict} at {certificate.time}"
            client.set_model_version_tag(version.name, version.version, REPRODUCED_TAG, summary)
    except RegistryError as error:
        on_line(f"warning: the certificate could not be stored with the version: {error}")


@contextmanager
def _limit_cores(cores: int) -> Iterator[None]:
    """Limit this process and its children to so many cores: how PyTorch splits its sums depends on their number."""
    process = psutil.Process()
    if not hasattr(process, "cpu_affinity"):  # as on macOS
        yield
        return
    available = process.cpu_affinity()
    process.cpu_affinity(sorted(available)[:cores])
    try:
        yield
    finally:
        process.cpu_affinity(available)
