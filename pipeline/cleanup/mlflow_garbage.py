"""Versions, uploads and runs in MLflow that nothing uses, and the files of DVC's cache that the other versions need."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.checkout.layout import TRAIN, TRAINING, find_pipelines
from pipeline.cleanup.garbage import DIGEST, Garbage
from pipeline.registry import alias_history
from pipeline.registry.versions import search_all
from stages.artifacts import read_json
from stages.errors import ArtifactError, UserError
from stages.tracking import sync
from stages.tracking.client import connect, database_file, shown_uri, tracking_uri, translate_errors
from stages.tracking.git import has_commit
from stages.tracking.lineage_record import RECORD, LineageFiles, read_execution, read_lock
from stages.tracking.parent import find_parent_version
from stages.tracking.registry import DIGEST_TAG, MARKER
from stages.tracking.version_artifacts import FILE_TAG, read_lineage
from stages.training.record import read_training

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import FileInfo
    from mlflow.entities.model_registry import ModelVersion

LOGGED_MODEL = re.compile(r"m-[0-9a-f]{32}")  # the id of a logged model
COPY = re.compile(r"models:/(.+)/(\d+)")  # the source of a version that is a copy of another one
UNFINISHED = ("RUNNING", "SCHEDULED")  # states of a run


@dataclass(frozen=True)
class _Judged:
    """A version in the registry; it has no lineage if Tuneline did not register it."""

    version: "ModelVersion"
    lineage: LineageFiles | None
    stays: bool

    def logged_models(self) -> set[str]:
        """The ids of its upload, from its source: a search for versions does not return the id of the model."""
        return set(LOGGED_MODEL.findall(self.version.source or ""))

    def runs(self) -> set[str]:
        """Its own MLflow run and those that computed its stages."""
        stages = self.lineage.record.stages.values() if self.lineage else []
        made_by = {stage.made_by.mlflow_run or "" for stage in stages if stage.made_by}
        return made_by | {self.version.run_id or ""}

    def digests(self) -> set[str]:
        """The MD5s of all inputs and outputs of its stages."""
        if self.lineage is None:
            return set()
        stages = self.lineage.record.stages.values()
        files = {file.digest for stage in stages for file in (*stage.inputs, *stage.outputs)}
        return files | set(DIGEST.findall(self.lineage.lock.decode()))


def find_in_mlflow(
    referenced: set[str], limit: float, on_line: Callable[[str], None]
) -> tuple[list[Garbage], set[str]]:
    """What nothing uses in MLflow, and the MD5s of all files that the versions that stay need.

    `referenced` holds the MD5s in dvc.lock and .dvc files. Runs and uploads that are younger than `limit`, in seconds
    since the epoch, stay.
    """
    database = database_file(tracking_uri())
    exists = database is None or database.exists()
    for marker in (folder / MARKER for folder in find_pipelines()):
        if not marker.exists():
            continue
        marked = read_json(marker).get("tracking_uri")  # DVC's cache may hold files that only that registry refers to
        if marked != shown_uri() or not exists:
            raise UserError(
                f"the last model of this checkout was registered at {marked}, which "
                + ("no longer exists." if marked == shown_uri() else f"is not the current registry, {shown_uri()}.")
                + f" Only that registry knows which files it needs. If it was abandoned, delete {marker}."
            )
    if not exists:
        on_line(f"there is no registry at {shown_uri()}; only commits and worktrees count")
        return [], set()
    with translate_errors():
        client = connect()
        versions = _judge_versions(client, referenced, on_line)
        experiments = [each.experiment_id for each in search_all(client.search_experiments)]
        found = [
            *_unused_versions(versions),
            *_unused_uploads(client, experiments, versions, limit),
            *_unused_runs(client, experiments, versions, limit),
        ]
    return found, {digest for each in versions if each.stays for digest in each.digests()}


def _judge_versions(client: "MlflowClient", referenced: set[str], on_line: Callable[[str], None]) -> list[_Judged]:
    versions = search_all(client.search_model_versions)
    models = [model.name for model in search_all(client.search_registered_models)]
    histories = {name: alias_history.read_history(client, name) for name in models}
    in_use = {(name, number) for name, history in histories.items() for number in _in_use(client, name, history)}
    in_use |= {(copy[1], int(copy[2])) for each in versions if (copy := COPY.fullmatch(each.source or ""))}
    for name, history in histories.items():
        for fault in history.faults:
            on_line(f"all versions of {name} stay, since its alias history may not name all former champions: {fault}")
    judged = []
    for version in versions:
        lineage = _read_lineage(client, version)
        if lineage is None:
            stays = True
        elif not _is_known(lineage.record.git.commit):
            on_line(f"{version.name}/{version.version} stays: its commit is not in this repository")
            stays = True
        else:
            is_referenced = not referenced.isdisjoint(_model_digests(lineage))
            is_in_use = (version.name, int(version.version)) in in_use
            stays = is_referenced or is_in_use or bool(histories[version.name].faults)
        judged.append(_Judged(version, lineage, stays))
    return _keep_ancestors(judged, on_line)


def _keep_ancestors(judged: list[_Judged], on_line: Callable[[str], None]) -> list[_Judged]:
    """The same versions; those stay that a version which stays was trained from: without them it cannot be rebuilt."""
    by_name = {(each.version.name, int(each.version.version)): each for each in judged}
    waiting = [each for each in judged if each.stays]
    while waiting:
        child = waiting.pop()
        parent = find_parent_version(child.lineage.record.params.get("model", {})) if child.lineage else None
        found = by_name.get((parent.name, parent.version or 0)) if parent else None
        if parent and found and not found.stays:
            on_line(f"{parent.reference} stays: {child.version.name}/{child.version.version} was trained from it")
            by_name[parent.name, int(found.version.version)] = stays = replace(found, stays=True)
            waiting.append(stays)
    return list(by_name.values())


def _in_use(client: "MlflowClient", name: str, history: alias_history.AliasHistory) -> set[int | None]:
    """The versions of a model that an alias, or an entry of its alias history, refers to."""
    aliases = {int(number) for number in client.get_registered_model(name).aliases.values()}
    return aliases | {number for entry in history.entries for number in (entry.source, entry.target)}


def _read_lineage(client: "MlflowClient", version: "ModelVersion") -> LineageFiles | None:
    if f"{FILE_TAG}{RECORD}" not in version.tags or COPY.fullmatch(version.source or ""):
        return None
    try:
        return read_lineage(client, version)
    except UserError as error:
        raise UserError(
            f"{error} The files that it needs are not known, so nothing was deleted. Repair or delete it."
        ) from None


def _model_digests(lineage: LineageFiles) -> set[str]:
    return {entry["md5"] for entry in read_lock(lineage.lock)[TRAIN]["outs"]}


def _is_known(commit: str | None) -> bool:
    """Whether this repository has the commit."""
    return commit is not None and has_commit(commit)


def _unused_versions(versions: list[_Judged]) -> Iterator[Garbage]:
    for each in versions:
        if each.lineage and not each.stays:
            name, number = each.version.name, str(each.version.version)
            (digest,) = _model_digests(each.lineage)
            why = f"no alias, no alias history and no dvc.lock refers to its model {digest[:12]}"
            yield Garbage("version", f"{name}/{number} of {each.lineage.record.registered[:10]}", why, None,
                          (name, number))  # fmt: skip


def _unused_uploads(
    client: "MlflowClient", experiments: list[str], versions: list[_Judged], limit: float
) -> Iterator[Garbage]:
    """The unused logged models that Tuneline uploaded."""
    kept = {name for each in versions if each.stays for name in each.logged_models()}
    deleted = {name for each in versions for name in each.logged_models()} - kept
    for model in search_all(client.search_logged_models, experiments):
        if model.model_id in kept or DIGEST_TAG not in model.tags:
            continue
        is_old = model.creation_timestamp / 1000 < limit
        if model.model_id in deleted or (is_old and _was_computed_here(client, model.source_run_id)):
            why = "its version is deleted" if model.model_id in deleted else "no version refers to it"
            size = _sum_sizes(partial(client.list_logged_model_artifacts, model.model_id))
            yield Garbage("model", f"upload {model.model_id}", why, size, (model.model_id,))


def _unused_runs(
    client: "MlflowClient", experiments: list[str], versions: list[_Judged], limit: float
) -> Iterator[Garbage]:
    """The unused runs of training and of tokenize."""
    kept = {run for each in versions if each.stays for run in each.runs()}
    deleted = {each.version.run_id for each in versions} - kept
    current = _current_train_keys()
    for tag in sync.KEY_TAGS.values():
        for run in search_all(client.search_runs, experiments, f"tags.`{tag}` LIKE '%'"):
            info = run.info
            if info.run_id in kept or info.status in UNFINISHED or run.data.tags[tag] in current:
                continue
            is_old = max(info.start_time or 0, info.end_time or 0) / 1000 < limit
            if info.run_id in deleted or (is_old and _was_computed_here(client, info.run_id)):
                why = "its version is deleted" if info.run_id in deleted else "no version that stays needs it"
                size = _sum_sizes(partial(client.list_artifacts, info.run_id))
                yield Garbage("run", f"{info.run_name} ({info.run_id[:8]})", why, size, (info.run_id,))


def _was_computed_here(client: "MlflowClient", run_id: str) -> bool:
    """Whether the stages of a run were computed at commits of this repository; False if the run is gone."""
    from mlflow.exceptions import MlflowException

    try:
        files = client.list_artifacts(run_id, sync.EXECUTIONS)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    with tempfile.TemporaryDirectory() as folder:
        commits = [read_execution(Path(client.download_artifacts(run_id, file.path, folder))).commit for file in files]
    return bool(commits) and all(_is_known(commit) for commit in commits)


def _current_train_keys() -> set[str]:
    """The train keys of the models that lie in the pipelines of this checkout."""
    keys = set()
    for folder in find_pipelines():
        with suppress(ArtifactError):
            keys.add(read_training((folder / TRAINING).parent).train_key)
    return keys


def _sum_sizes(list_files: Callable[..., list["FileInfo"]], folder: str | None = None) -> int:
    return sum(_sum_sizes(list_files, file.path) if file.is_dir else file.file_size or 0 for file in list_files(folder))


def delete(garbage: Garbage) -> None:
    """Delete it as MLflow does, which only marks it; UserError if an alias or an alias history refers to it by now."""
    with translate_errors():
        _delete(connect(), garbage)


def _delete(client: "MlflowClient", garbage: Garbage) -> None:
    if garbage.kind == "model":
        client.delete_logged_model(*garbage.place)
    elif garbage.kind == "run":
        client.delete_run(*garbage.place)
    else:
        name, number = garbage.place
        if int(number) in _in_use(client, name, alias_history.read_history(client, name)):
            raise UserError(f"{name}/{number} has been promoted meanwhile, so it stays. Run `tuneline gc` again.")
        client.delete_model_version(name, number)
