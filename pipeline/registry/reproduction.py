"""Makes a registered model again, from nothing but what its version keeps, and says how alike the two are.

Everything happens in a worktree of its own, at the recorded commit and with the recorded difference from it, and ends
in a scratch registry; the checkout, DVC's cache and the registry's models stay as they are.
"""

import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.checkout.dvc import StageFailedError, reproduce
from pipeline.checkout.layout import METRICS, PREDICTIONS, REGISTRATION, STAGES, TRAINING
from pipeline.checkout.scratch import work_folder
from pipeline.checkout.status import MISSING, stage_states
from pipeline.checkout.worktree import worktree
from pipeline.registry.predictions import SPLIT
from pipeline.registry.versions import find
from stages.artifacts import read_json
from stages.errors import ArtifactError, RegistryError, UserError
from stages.tasks.token_classification.predictions import Predictions, read_predictions
from stages.tracking.client import SQLITE, connect, reachable
from stages.tracking.environment import LOCK, environment
from stages.tracking.lineage_record import MADE, LineageFiles, read_lock, stage_record
from stages.tracking.registry import DIGEST_TAG, altered_files, read_lineage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

Verdict = Literal["bit-identical", "same predictions", "same scores", "different"]
CERTIFICATES = "certificates"  # the folder of them with the model's run
REPRODUCED_TAG = "tuneline.reproduced"
COMMAND = "reproduce"
# What stage_states says of every worktree before its stages have run; an input that differs it says in other words.
AS_EXPECTED = (MISSING, " runs first", "is not in the cache")


@dataclass(frozen=True)
class Difference:
    """What a stage read (input) or made (output) that is not as it was recorded, or why it made nothing (failure)."""

    stage: str
    kind: Literal["input", "output", "failure"]
    what: str


@dataclass(frozen=True)
class Certificate:
    """How alike a version is to what was rebuilt from its record; the differences stand in the pipeline's order."""

    name: str
    version: int
    verdict: Verdict
    first_difference: Difference | None
    differences: list[Difference]
    environment_differences: list[str]
    altered: list[str]  # files of the record that are not those that were registered
    f1: dict[str, float | None]  # strict entity F1 on test, recorded and rebuilt
    time: str
    who: str


@dataclass(frozen=True)
class Recorded:
    """What the registry keeps of a version."""

    version: "ModelVersion"
    origin: LineageFiles
    predictions: dict[str, Predictions]  # none if they are gone, or of another format
    scores: dict[str, float]  # on test: f1, f1_low, f1_high; likewise


def reproduce_version(
    reference: str, *, strict: bool, on_line: Callable[[str], None], on_progress: Callable[[str], None]
) -> Certificate:
    """Rebuild the version that a reference stands for (see `registry.find`), and keep the certificate with it.

    UserError if it cannot be rebuilt here at all, since its commit or its data is not to be had; with `strict` also if
    something else is installed here than what it was made with.
    """
    with reachable():
        client = connect()
        recorded = _recorded(client, find(client, reference))
    version, record = recorded.version, recorded.origin.record
    label = f"{version.name}/{version.version}"
    if record["git"]["commit"] is None:
        raise UserError(f"{label} was made where git had no commit, so its code is not to be had")
    elsewhere = environment_differences(record["environment"], environment())
    for line in elsewhere:
        on_line(f"environment: {line}")
    if strict and elsewhere:
        raise UserError(
            f"--strict: the environment differs from the one that made {label}, as listed above. Install what "
            "constraints.txt of its commit pins, or leave --strict out."
        )
    altered = altered_files(version, recorded.origin)
    for name in altered:
        on_line(f"warning: the recorded {name} is not the one that was registered")

    with work_folder(COMMAND) as work, worktree(work / "tree", recorded.origin, on_line):
        registry = f"{SQLITE}{work.absolute()}/scratch.db"
        differences = _changed_inputs()
        for difference in differences:
            on_line(f"{difference.stage}: {difference.what}")
        differences += _run_all(recorded.origin, registry, on_line=on_line, on_progress=on_progress)
        differences.sort(key=lambda difference: STAGES.index(difference.stage))
        elsewhere += _machine_differences(record["environment"])
        verdict, f1 = verdict_of(recorded, differences)
    certificate = Certificate(
        name=version.name,
        version=int(version.version),
        verdict=verdict,
        first_difference=differences[0] if differences else None,
        differences=differences,
        environment_differences=elsewhere,
        altered=altered,
        f1={"recorded": recorded.scores.get("f1"), "rebuilt": f1},
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        who=f"{getpass.getuser()}@{socket.gethostname()}",
    )
    _keep(client, version, certificate, on_line)
    return certificate


def environment_differences(recorded: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """What of Python, the processor, its cores and the packages is another one here, a line each."""
    lines = [f"{key} {present[key]} instead of {recorded[key]}" for key in ("python", "processor")
             if present[key] != recorded[key]]  # fmt: skip
    if present["cores"] < recorded["threads"]:
        lines.append(f"{present['cores']} cores for {recorded['threads']} threads")
    before, now = recorded["packages"], present["packages"]
    return lines + [
        f"{name} {now.get(name, 'none')} instead of {before.get(name, 'none')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _machine_differences(recorded: dict[str, Any]) -> list[str]:
    """How the training here chose to compute otherwise than the recorded one; nothing if it did not come so far."""
    with suppress(ArtifactError):
        present = read_json(TRAINING)
        return [
            f"{key} {present[key]} instead of {recorded[key]}"
            for key in ("device", "precision", "threads")
            if present[key] != recorded[key]
        ]
    return []


def _recorded(client: "MlflowClient", version: "ModelVersion") -> Recorded:
    predictions: dict[str, Predictions] = {}
    scores: dict[str, float] = {}
    # Without the report the bytes can still be compared.
    with work_folder(COMMAND) as work, suppress(Exception):
        report = Path(client.download_artifacts(version.run_id or "", "report", str(work)))
        scores = read_json(report / METRICS.name)[SPLIT]["entity_strict"]["micro"]
        predictions = read_predictions(report / PREDICTIONS.name)
    return Recorded(version, read_lineage(client, version), predictions, scores)


def _changed_inputs() -> list[Difference]:
    """What stages are about to read that is not as dvc.lock says, but for what other stages are about to make."""
    return [
        Difference(state.name, "input", reason)
        for state in stage_states()
        if state.name in MADE
        for reason in state.because
        if not reason.endswith(AS_EXPECTED)
    ]


def _run_all(
    origin: LineageFiles, registry: str, *, on_line: Callable[[str], None], on_progress: Callable[[str], None]
) -> list[Difference]:
    """Run all stages, as far as they go, and say which of their outputs are other ones."""
    differences: list[Difference] = []
    with _cores(origin.record["environment"]["threads"]):
        for stage in STAGES:
            on_line(f"{stage} is made anew")
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
            if stage in MADE:
                differences += _changed_outputs(stage, origin)
    return differences


def _changed_outputs(stage: str, origin: LineageFiles) -> list[Difference]:
    def files(lock: bytes) -> dict[str, str]:
        return {entry["path"]: entry["digest"] for entry in stage_record(read_lock(lock)[stage])["outputs"]}

    before = {entry["path"]: entry["digest"] for entry in origin.record["stages"][stage]["outputs"]}
    now = files(Path(LOCK).read_bytes())
    return [
        Difference(stage, "output", f"{path} {_how(before.get(path), now.get(path))}")
        for path in sorted(before.keys() | now.keys())
        if before.get(path) != now.get(path)
    ]


def _how(before: str | None, now: str | None) -> str:
    return "is missing" if now is None else "is new" if before is None else "has other bytes"


def verdict_of(recorded: Recorded, differences: list[Difference]) -> tuple[Verdict, float | None]:
    """How alike they are, and F1 of the rebuilt model on test; None if it did not come so far."""
    kinds = {difference.kind for difference in differences}
    if "failure" in kinds:
        return "different", None
    f1: float = read_json(METRICS)[SPLIT]["entity_strict"]["micro"]["f1"]
    is_same_model = read_json(REGISTRATION)["model_digest"] == recorded.version.tags.get(DIGEST_TAG)
    if "output" not in kinds and is_same_model:
        return "bit-identical", f1
    predictions = read_predictions(PREDICTIONS)
    if recorded.predictions.keys() == predictions.keys() and all(
        _say_the_same(recorded.predictions[split], predictions[split]) for split in predictions
    ):
        return "same predictions", f1
    scores = recorded.scores
    return "same scores" if scores and scores["f1_low"] <= f1 <= scores["f1_high"] else "different", f1


def _say_the_same(first: Predictions, second: Predictions) -> bool:
    """Whether two models gave every word of the same sentences the same tag."""
    same_tags = np.array_equal(first.predicted.tags_W, second.predicted.tags_W)
    return bool(first.words.equals(second.words)) and same_tags


def _keep(
    client: "MlflowClient", version: "ModelVersion", certificate: Certificate, on_line: Callable[[str], None]
) -> None:
    file = f"{CERTIFICATES}/{version.name}/{certificate.time.replace(':', '')}.json"
    try:
        with reachable():
            client.log_dict(version.run_id or "", asdict(certificate), file)
            said = f"{certificate.verdict} at {certificate.time}"
            client.set_model_version_tag(version.name, version.version, REPRODUCED_TAG, said)
    except RegistryError as error:
        on_line(f"warning: the certificate could not be kept with the version: {error}")


@contextmanager
def _cores(threads: int) -> Iterator[None]:
    """Within, at most so many cores are ours and our children's, so that stages share sums out as they did."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    present = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(present)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, present)
