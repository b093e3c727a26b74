"""Versions, uploads and runs in MLflow that nothing reaches, and what those that stay need of DVC's cache."""

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.checkout.git import has_commit
from pipeline.checkout.layout import TRAIN, TRAINING
from pipeline.cleanup.garbage import DIGEST, Garbage
from pipeline.registry import alias_history
from pipeline.registry.versions import all_of
from stages.artifacts import read_json
from stages.errors import ArtifactError, UserError
from stages.tracking import sync
from stages.tracking.client import SQLITE, connect, reachable, shown_uri, tracking_uri
from stages.tracking.lineage_record import RECORD, LineageFiles, read_lock
from stages.tracking.registry import DIGEST_TAG, FILE_TAG, MARKER, read_lineage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import FileInfo
    from mlflow.entities.model_registry import ModelVersion

LOGGED = re.compile(r"m-[0-9a-f]{32}")  # the id of a logged model
COPY = re.compile(r"models:/(.+)/(\d+)")  # the source of a version that was copied from another one
UNFINISHED = ("RUNNING", "SCHEDULED")  # states of a run


@dataclass(frozen=True)
class _Judged:
    """A version in the registry; it has no origin if it was registered by other means."""

    version: "ModelVersion"
    origin: LineageFiles | None
    stays: bool

    def logged_models(self) -> set[str]:
        """The ids of what was uploaded for it. From the source: of versions that were searched, MLflow tells no id."""
        return set(LOGGED.findall(self.version.source or ""))

    def runs(self) -> set[str]:
        """Its own run and, by its record, those that computed its stages."""
        stages = self.origin.record["stages"].values() if self.origin else []
        made_by = {stage["made_by"].get("mlflow_run", "") for stage in stages if stage["made_by"]}
        return made_by | {self.version.run_id or ""}

    def digests(self) -> set[str]:
        """The MD5s of all that it was made from and of all that its stages made."""
        if self.origin is None:
            return set()
        stages = self.origin.record["stages"].values()
        files = {entry["digest"] for stage in stages for entry in (*stage["inputs"], *stage["outputs"])}
        return files | set(DIGEST.findall(self.origin.lock.decode()))


def in_mlflow(named: set[str], limit: float, on_line: Callable[[str], None]) -> tuple[list[Garbage], set[str]]:
    """What nothing reaches there, and the MD5s of all that the versions that stay need."""
    uri = tracking_uri()
    is_there = not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).exists()
    if MARKER.exists():  # DVC's cache may hold what only that registry names
        told = read_json(MARKER).get("tracking_uri")
        if told != shown_uri() or not is_there:
            raise UserError(
                f"this checkout has registered its last model at {told}, and "
                + ("that is gone." if told == shown_uri() else f"now it is {shown_uri()}.")
                + f" What a registry needs is not known without it. If it is given up, delete {MARKER}."
            )
    if not is_there:
        on_line(f"there is no registry at {shown_uri()}; only commits and checkouts count")
        return [], set()
    with reachable():
        client = connect()
        versions = _judged(client, named, on_line)
        experiments = [each.experiment_id for each in all_of(client.search_experiments)]
        found = [
            *_versions(versions),
            *_models(client, experiments, versions, limit),
            *_runs(client, experiments, versions, limit),
        ]
    return found, {digest for each in versions if each.stays for digest in each.digests()}


def _judged(client: "MlflowClient", named: set[str], on_line: Callable[[str], None]) -> list[_Judged]:
    versions = all_of(client.search_model_versions)
    ledgers = {model.name: alias_history.read(client, model.name) for model in all_of(client.search_registered_models)}
    held = {(name, number) for name, found in ledgers.items() for number in _held(client, name, found)}
    held |= {(copy[1], int(copy[2])) for each in versions if (copy := COPY.fullmatch(each.source or ""))}
    for name, found in ledgers.items():
        for fault in found.faults:
            on_line(f"all versions of {name} stay, for its ledger may not name all that were champion: {fault}")
    judged = []
    for version in versions:
        origin = _origin(client, version)
        if origin is None:
            stays = True
        elif not _is_here(origin.record["git"]["commit"]):
            on_line(f"{version.name}/{version.version} stays: it was not made at a commit of this repository")
            stays = True
        else:
            is_named = not named.isdisjoint(_model_digests(origin))
            is_held = (version.name, int(version.version)) in held
            stays = is_named or is_held or bool(ledgers[version.name].faults)
        judged.append(_Judged(version, origin, stays))
    return judged


def _held(client: "MlflowClient", name: str, entries: alias_history.AliasHistory) -> set[int | None]:
    """The versions that an alias, or an entry of the alias_history, names."""
    aliases = {int(number) for number in client.get_registered_model(name).aliases.values()}
    return aliases | {number for entry in entries.entries for number in (entry.source, entry.target)}


def _origin(client: "MlflowClient", version: "ModelVersion") -> LineageFiles | None:
    if f"{FILE_TAG}{RECORD}" not in version.tags or COPY.fullmatch(version.source or ""):
        return None
    try:
        return read_lineage(client, version)
    except UserError as error:
        raise UserError(f"{error} What it needs is not known, so nothing was deleted. Mend or delete it.") from None


def _model_digests(origin: LineageFiles) -> set[str]:
    return {entry["md5"] for entry in read_lock(origin.lock)[TRAIN]["outs"]}


def _is_here(commit: str | None) -> bool:
    """Whether this repository has the commit; without one, it was made nobody knows where."""
    return commit is not None and has_commit(commit)


def _versions(versions: list[_Judged]) -> Iterator[Garbage]:
    for each in versions:
        if each.origin and not each.stays:
            name, number = each.version.name, str(each.version.version)
            (digest,) = _model_digests(each.origin)
            why = f"no alias, no ledger entry, and no dvc.lock names its model {digest[:12]}"
            yield Garbage("version", f"{name}/{number} of {each.origin.record['registered'][:10]}", why, None,
                          (name, number))  # fmt: skip


def _models(client: "MlflowClient", experiments: list[str], versions: list[_Judged], limit: float) -> Iterator[Garbage]:
    """Uploads of Tuneline."""
    kept = {name for each in versions if each.stays for name in each.logged_models()}
    gone = {name for each in versions for name in each.logged_models()} - kept
    for model in all_of(client.search_logged_models, experiments):
        if model.model_id in kept or DIGEST_TAG not in model.tags:
            continue
        is_old = model.creation_timestamp / 1000 < limit
        if model.model_id in gone or (is_old and _made_here(client, model.source_run_id)):
            why = "its version goes" if model.model_id in gone else "no version points at it"
            size = _bytes_in(partial(client.list_logged_model_artifacts, model.model_id))
            yield Garbage("model", f"upload {model.model_id}", why, size, (model.model_id,))


def _runs(client: "MlflowClient", experiments: list[str], versions: list[_Judged], limit: float) -> Iterator[Garbage]:
    """Runs of Tuneline, of trainings and of encodings."""
    kept = {run for each in versions if each.stays for run in each.runs()}
    gone = {each.version.run_id for each in versions} - kept
    present = _present_train_key()
    for tag in sync.KEY_TAGS.values():
        for run in all_of(client.search_runs, experiments, f"tags.`{tag}` LIKE '%'"):
            info = run.info
            if info.run_id in kept or info.status in UNFINISHED or run.data.tags[tag] == present:
                continue
            is_old = max(info.start_time or 0, info.end_time or 0) / 1000 < limit
            if info.run_id in gone or (is_old and _made_here(client, info.run_id)):
                why = "its version goes" if info.run_id in gone else "of no version that stays"
                size = _bytes_in(partial(client.list_artifacts, info.run_id))
                yield Garbage("run", f"{info.run_name} ({info.run_id[:8]})", why, size, (info.run_id,))


def _made_here(client: "MlflowClient", run_id: str) -> bool:
    """Whether this repository has the commits at which the stages of a run were computed; not if the run is gone."""
    from mlflow.exceptions import MlflowException

    try:
        files = client.list_artifacts(run_id, sync.MADE)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    with tempfile.TemporaryDirectory() as folder:
        records = [read_json(Path(client.download_artifacts(run_id, file.path, folder))) for file in files]
    return bool(records) and all(_is_here(record["commit"]) for record in records)


def _present_train_key() -> str | None:
    try:
        key: str = read_json(TRAINING)["train_key"]
    except ArtifactError:
        return None
    return key


def _bytes_in(listed: Callable[..., list["FileInfo"]], folder: str | None = None) -> int:
    return sum(_bytes_in(listed, file.path) if file.is_dir else file.file_size or 0 for file in listed(folder))


def delete(garbage: Garbage) -> None:
    """Delete as MLflow does, which only marks it; UserError if an alias or a ledger has come to name it since then."""
    with reachable():
        _delete(connect(), garbage)


def _delete(client: "MlflowClient", garbage: Garbage) -> None:
    if garbage.kind == "model":
        client.delete_logged_model(*garbage.place)
    elif garbage.kind == "run":
        client.delete_run(*garbage.place)
    else:
        name, number = garbage.place
        if int(number) in _held(client, name, alias_history.read(client, name)):
            raise UserError(f"{name}/{number} has been promoted meanwhile, so it stays. Look again: `tuneline gc`")
        client.delete_model_version(name, number)
