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
from typing import TYPE_CHECKING, Literal

import numpy as np
import psutil

from pipeline.checkout.dvc import StageFailedError, reproduce
from pipeline.checkout.layout import METRICS, PREDICTIONS, REGISTRATION, STAGES, TRAINING
from pipeline.checkout.scratch import work_folder
from pipeline.checkout.status import MISSING, stage_states
from pipeline.checkout.worktree import worktree
from pipeline.formatting import NO_REASON
from pipeline.registry.versions import resolve
from stages.artifacts import read_json
from stages.errors import ArtifactError, RegistryError, UserError
from stages.tasks.token_classification.predictions import Predictions, read_predictions
from stages.tracking.client import SQLITE, connect, translate_errors
from stages.tracking.environment import Environment, current_environment
from stages.tracking.git import LOCK
from stages.tracking.lineage_record import (
    STAGES_WITH_OUTPUTS,
    FileEntry,
    LineageFiles,
    TrainingEnvironment,
    read_lock,
    record_stage,
)
from stages.tracking.registry import DIGEST_TAG, altered_files, read_lineage
from stages.tracking.version_artifacts import SPLIT
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
    f1: dict[str, float | None]  # strict entity F1 on test, "recorded" and "rebuilt"
    time: str
    who: str


@dataclass(frozen=True)
class Recorded:
    """What the registry holds of a version; `predictions` and `scores` are empty if they cannot be read."""

    version: "ModelVersion"
    lineage: LineageFiles
    predictions: dict[str, Predictions]  # by split
    scores: dict[str, float]  # on test: f1, f1_low, f1_high


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
        verdict, f1 = judge(recorded, differences)
    certificate = Certificate(
        name=version.name,
        version=int(version.version),
        verdict=verdict,
        first_difference=differences[0] if differences else None,
        differences=differences,
        environment_differences=environment_changes,
        altered=altered,
        f1={"recorded": recorded.scores.get("f1"), "rebuilt": f1},
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        who=f"{getpass.getuser()}@{socket.gethostname()}",
    )
    _store(client, version, certificate, on_line)
    return certificate


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
        current = read_training(TRAINING.parent).machine
        return [
            f"{key} {value} instead of {getattr(recorded, key)}"
            for key, value in current.items()
            if value != getattr(recorded, key)
        ]
    return []


def _read_recorded(client: "MlflowClient", version: "ModelVersion") -> Recorded:
    predictions: dict[str, Predictions] = {}
    scores: dict[str, float] = {}
    # Without the report, the bytes can still be compared.
    with work_folder(COMMAND) as work, suppress(Exception):
        report = Path(client.download_artifacts(version.run_id or "", "report", str(work)))
        scores = read_json(report / METRICS.name)[SPLIT]["entity_strict"]["micro"]
        predictions = read_predictions(report / PREDICTIONS.name)
    return Recorded(version, read_lineage(client, version), predictions, scores)


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
    now = _digests(record_stage(read_lock(Path(LOCK).read_bytes())[stage]).outputs)
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
    """The strongest verdict that holds, and F1 of the rebuilt model on test; None if a stage failed."""
    kinds = {difference.kind for difference in differences}
    if "failure" in kinds:
        return "different", None
    f1: float = read_json(METRICS)[SPLIT]["entity_strict"]["micro"]["f1"]
    is_same_model = read_json(REGISTRATION)["model_digest"] == recorded.version.tags.get(DIGEST_TAG)
    if "output" not in kinds and is_same_model:
        return "bit-identical", f1
    predictions = read_predictions(PREDICTIONS)
    if recorded.predictions.keys() == predictions.keys() and all(
        _are_equal(recorded.predictions[split], predictions[split]) for split in predictions
    ):
        return "same predictions", f1
    scores = recorded.scores
    return "same scores" if scores and scores["f1_low"] <= f1 <= scores["f1_high"] else "different", f1


def _are_equal(first: Predictions, second: Predictions) -> bool:
    """Whether both hold the same sentences with the same predicted tags."""
    same_tags = np.array_equal(first.predicted.tags_W, second.predicted.tags_W)
    return bool(first.words.equals(second.words)) and same_tags


def _store(
    client: "MlflowClient", version: "ModelVersion", certificate: Certificate, on_line: Callable[[str], None]
) -> None:
    file = f"{CERTIFICATES}/{version.name}/{certificate.time.replace(':', '')}.json"
    try:
        with translate_errors():
            client.log_dict(version.run_id or "", asdict(certificate), file)
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
