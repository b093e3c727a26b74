"""The parent of a model: a registered version whose weights its training starts from.

params.yaml names it in `model.pretrained`, as models:/NAME@ALIAS or models:/NAME/VERSION, and pins it: `model.revision`
is the number of the version, `model.sha256` the digest of its weights. Its files are fetched from the registry once
and kept in the project.
"""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from stages.artifacts import WEIGHTS, file_digest
from stages.errors import ArtifactError, PretrainedError
from stages.runtime.project import REGISTRY, fetched_model
from stages.task import load_part
from stages.tracking.client import connect, is_away, shown_uri, translate_errors
from stages.training.record import read_training

REFERENCE = re.compile(rf"{REGISTRY}([^/@]+)(?:@([^/@]+)|/(\d+))")
MODEL_FILES = "artifacts/model"  # within a logged model
ANY_TASK = "PRETRAINS"  # of a task's params.py: true if what its models learnt is of use for every task


@dataclass(frozen=True)
class ParentVersion:
    """A version of a registered model; `version` is None of an alias that nothing pins."""

    name: str
    alias: str | None
    version: int | None

    @property
    def reference(self) -> str:
        """`NAME/VERSION`, or `NAME@ALIAS` if that is not pinned."""
        return f"{self.name}@{self.alias}" if self.version is None else f"{self.name}/{self.version}"


def find_parent_version(encoder: Mapping[str, Any]) -> ParentVersion | None:
    """The parent that the section `model` of params.yaml names; None for an encoder that is no registered model.

    PretrainedError if it is not written as above, or pinned to another version than it names.
    """
    pretrained, revision = encoder.get("pretrained", ""), encoder.get("revision")
    if not pretrained.startswith(REGISTRY):
        return None
    found = REFERENCE.fullmatch(pretrained)
    if found is None:
        raise PretrainedError(
            f"model.pretrained: {pretrained} names no registered model: write models:/NAME@ALIAS or "
            "models:/NAME/VERSION; `tuneline models` lists them"
        )
    name, alias, number = found.groups()
    pinned = int(revision) if isinstance(revision, str) and revision.isdecimal() else None
    if number is not None and pinned not in (None, int(number)):
        raise PretrainedError(f"model.pretrained is {pretrained}, but model.revision is {pinned}: set it to null")
    return ParentVersion(name, alias, int(number) if number is not None else pinned)


def fetch_parent(encoder: Mapping[str, Any], *, task: str) -> None:
    """Have the files of the parent in the project, if params.yaml names one; without need the registry is not asked.

    PretrainedError if the registry does not have that version with the pinned weights, or if it is of another task.
    """
    parent, sha256 = find_parent_version(encoder), encoder["sha256"]
    if parent is None or parent.version is None or sha256 is None:
        return  # no parent, or none that is pinned, which `find_pretrained` refuses
    if not fetched_model(sha256).exists():
        digest = fetch_version(parent)
        if digest != sha256:
            raise PretrainedError(
                f"the weights of {parent.reference} in {shown_uri()} have SHA-256 {digest}, but model.sha256 is "
                f"{sha256}. If these are the intended ones: tuneline run --set model.pretrained={encoder['pretrained']}"
            )
    check_task(fetched_model(sha256), parent, task=task)


def fetch_version(parent: ParentVersion) -> str:
    """Have the files of a version in the project; return the SHA-256 of its weights.

    PretrainedError if the registry does not have them; RegistryUnavailableError if it does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    place = fetched_model("").absolute()
    place.mkdir(parents=True, exist_ok=True)
    with translate_errors(), tempfile.TemporaryDirectory(dir=place, prefix=".") as work:
        connect()
        uri = f"models:/{parent.name}/{parent.version}/{MODEL_FILES}"
        try:
            folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=work))
            digest = file_digest(folder / WEIGHTS)
        except (MlflowException, OSError) as error:
            if is_away(error):
                raise
            raise PretrainedError(
                f"model.pretrained: {parent.reference} is not in the registry {shown_uri()}, or its files are gone. "
                "`tuneline models` lists what there is."
            ) from None
        with FileLock(place / ".lock"):
            if not fetched_model(digest).exists():
                folder.rename(place / digest)
    return digest


def check_task(folder: Path, parent: ParentVersion, *, task: str) -> None:
    """PretrainedError if the files of a parent are those of another task, whose head would be of no use."""
    try:
        theirs = read_training(folder).task
    except ArtifactError as error:
        raise PretrainedError(f"{parent.reference} is no model of Tuneline: {error}") from None
    if theirs != task and not getattr(load_part(theirs, "params"), ANY_TASK, False):
        raise PretrainedError(
            f"{parent.reference} was trained for {theirs}, and this pipeline is for {task}: its head would be lost. "
            "Go on from a model of the same task, or from the encoder that it was made from."
        )
