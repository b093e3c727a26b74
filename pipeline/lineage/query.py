"""The lineage of a model version, and the versions that used a file, from what the registry holds of each."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.registry import alias_history
from pipeline.registry.versions import aliases_of, name_primary, newest_first, read_scores, resolve, search_all
from stages.artifacts import md5_digest
from stages.errors import UserError
from stages.statistics.names import shorten_score
from stages.tracking.client import connect, is_away, translate_errors
from stages.tracking.lineage_record import LineageRecord
from stages.tracking.parent import ParentVersion, find_parent_version
from stages.tracking.registry import CHAMPION, DIGEST_TAG
from stages.tracking.version_artifacts import altered_files, read_lineage, read_lineage_record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

DIGEST = re.compile(r"[0-9a-f]{8,32}")  # an MD5, or its first characters


@dataclass(frozen=True)
class Ancestor:
    """A version that a model went on from; of one that is gone nothing but its name is known."""

    name: str
    version: int
    primary: dict[str, str]
    scores: dict[str, float]
    data: dict[str, str]  # the MD5 of each file or folder of its corpus
    is_gone: bool

    @classmethod
    def gone(cls, parent: ParentVersion) -> "Ancestor":
        """One that the registry does not have, or no longer."""
        return cls(parent.name, parent.version or 0, {}, {}, {}, is_gone=True)


@dataclass(frozen=True)
class Lineage:
    """A registered version and its lineage record; `altered` names lineage files changed after the registration.

    `digest` is the model's by the version's tags, `scores` the primary score by split, `primary` its name, `mlflow_run`
    the run of the training. `ancestors` are the versions that it went on from, the parent first.
    """

    name: str
    version: int
    aliases: list[str]
    digest: str
    mlflow_run: str | None
    primary: dict[str, str]
    scores: dict[str, float]
    altered: list[str]
    ancestors: list[Ancestor]
    record: LineageRecord

    @property
    def score_name(self) -> str:
        """What the primary score is called in prose."""
        return shorten_score(self.primary["name"])

    def to_json(self) -> dict[str, Any]:
        """What `tuneline lineage --json` prints: the fields of the record and of the version in one object."""
        own = {key: value for key, value in vars(self).items() if key != "record"}
        return self.record.to_json() | own | {"ancestors": [asdict(each) for each in self.ancestors]}


@dataclass(frozen=True)
class Use:
    """A file that a stage of a version read; `same` says whether the file named in the query has the same content."""

    stage: str
    path: str
    digest: str
    same: bool


@dataclass(frozen=True)
class UsingVersion:
    """A version that used the file, and whether it is or ever was champion."""

    name: str
    version: int
    aliases: list[str]
    digest: str
    used: list[Use]
    is_champion: bool
    was_champion: bool


@dataclass(frozen=True)
class Uses:
    """The versions that used a file or folder; `untold` are those whose lineage record cannot be read."""

    target: str
    versions: list[UsingVersion]
    untold: list[str]  # a key that programs rely on


def read_version_lineage(reference: str) -> Lineage:
    """The lineage of the version that a reference stands for (see `versions.resolve`).

    UserError if there is no such version, or if its lineage cannot be read.
    """
    with translate_errors():
        client = connect()
        return _read(client, resolve(client, reference))


def find_uses(target: str) -> Uses:
    """All versions of all models that used a file or folder, given by its path or by the start of its MD5.

    UserError if the target neither exists nor is in any record.
    """
    path = Path(target)
    digest = target.removesuffix(".dir")
    digests = {md5_digest(file) for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()}
    if not path.exists() and DIGEST.fullmatch(digest):
        digests = {digest}
    unreadable: list[str] = []
    with translate_errors():
        client = connect()
        versions = [
            version
            for model in search_all(client.search_registered_models)
            for version in _find_versions(client, model, path.as_posix(), tuple(digests), unreadable)
        ]
    if not versions and not digests:
        raise UserError(f"{target}: no such file, no MD5 (8 to 32 hexadecimal digits), and no model used it")
    return Uses(target, versions, unreadable)


def _read(client: "MlflowClient", version: "ModelVersion") -> Lineage:
    files = read_lineage(client, version)
    return Lineage(
        name=version.name,
        version=int(version.version),
        aliases=sorted(version.aliases),
        digest=version.tags.get(DIGEST_TAG, ""),
        mlflow_run=version.run_id,
        primary={"name": name_primary(version)},
        scores=read_scores(client, version),
        altered=altered_files(version, files),
        ancestors=list(_find_ancestors(client, files.record)),
        record=files.record,
    )


def _find_ancestors(client: "MlflowClient", record: LineageRecord) -> Iterator[Ancestor]:
    """The versions that a model went on from, the parent first, up to one that is gone or began with an encoder."""
    from mlflow.exceptions import MlflowException

    parent = find_parent_version(record.params.get("model", {}))
    while parent is not None:
        try:
            version = client.get_model_version(parent.name, str(parent.version))
            files = read_lineage(client, version)
        except (MlflowException, UserError) as error:
            if is_away(error):
                raise
            yield Ancestor.gone(parent)
            return
        primary, scores = {"name": name_primary(version)}, read_scores(client, version)
        yield Ancestor(parent.name, int(version.version), primary, scores, files.data_digests(), is_gone=False)
        parent = find_parent_version(files.record.params.get("model", {}))


def _find_versions(
    client: "MlflowClient", model: "RegisteredModel", path: str, digests: tuple[str, ...], unreadable: list[str]
) -> Iterator[UsingVersion]:
    """The versions of a model that used a file at or below this path, or with one of these digests, newest first.

    Those whose record cannot be read are added to `unreadable`.
    """
    entries = alias_history.read_history(client, model.name).entries
    champions = {number for entry in entries for number in (entry.source, entry.target)}
    for version in newest_first(client, model.name):
        try:
            record = read_lineage_record(client, version)
        except UserError:  # it was not registered by Tuneline, or its run was changed
            unreadable.append(f"{model.name}/{version.version}")
            continue
        used = [
            Use(name, file.path, file.digest, same=file.digest.startswith(digests))
            for name, stage in record.stages.items()
            for file in stage.inputs
            if file.digest.startswith(digests) or f"{file.path}/".startswith(f"{path}/")
        ]
        if used:
            aliases = aliases_of(model, version)
            yield UsingVersion(
                name=model.name,
                version=int(version.version),
                aliases=aliases,
                digest=version.tags.get(DIGEST_TAG, ""),
                used=used,
                is_champion=CHAMPION in aliases,
                was_champion=int(version.version) in champions,
            )
