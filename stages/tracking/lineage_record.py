"""The lineage of a model, recorded when it is registered: dvc.lock, params.yaml, the patch from the commit to the
files that were used, and record.json, which lists every file of every stage.

A file's digest is its MD5, as in dvc.lock and in DVC's cache. A folder that has changed since DVC recorded it is one
entry. Only this module writes and reads record.json.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pathspec import GitIgnoreSpec
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from stages.artifacts import json_digest, md5_digest, read_json, read_versioned, write_json
from stages.errors import ArtifactError
from stages.tracking.environment import Environment, Execution, current_execution
from stages.tracking.git import LOCK, PARAMS, GitState, git_diff, git_state, tracked_files, untracked_files

R = TypeVar("R")

FORMAT_VERSION = 1
RECORD = "record.json"
DIFF = "tree.diff"
ROOT = "."  # the folder of the pipeline at the root
FOLDER = ".dir"  # the suffix of a folder's digest
REGISTER = "register"
DAG = "dvc.yaml"  # not tracked where the repository is another project's, in which this one was unpacked
STAGES_WITH_OUTPUTS = ("tokenize", "train", "evaluate")


@dataclass(frozen=True)
class FileEntry:
    """A file, or a folder that was not expanded, with its MD5."""

    path: str
    digest: str


@dataclass(frozen=True)
class StageRecord:
    """What a stage ran, read and wrote; `params` by dotted names; `made_by` is None if its execution is unknown."""

    command: str
    inputs: list[FileEntry]
    params: dict[str, Any]
    outputs: list[FileEntry]
    made_by: Execution | None


@dataclass(frozen=True)
class TrainingEnvironment(Environment):
    """The environment of a training run, with the device and the precision that it computed with."""

    device: str
    precision: str
    threads: int


@dataclass(frozen=True)
class LineageRecord:
    """The content of record.json.

    `registered` is ISO 8601 in UTC; `flow_run` is that of the registration; `outside` lists the files that neither git
    nor DVC tracks, without which the model cannot be rebuilt elsewhere, none if there is no commit; `params` is all of
    params.yaml; `environment` is that of the training run if its execution is known, else that of the registration;
    `digest` is the model's; `pipeline` is the folder of the pipeline, to which dvc.lock and params.yaml belong,
    from the root of the repository, as all other paths.
    """

    registered: str
    git: GitState
    flow_run: str | None
    rebuildable: bool
    outside: list[str]
    params: dict[str, Any]
    environment: TrainingEnvironment
    stages: dict[str, StageRecord]
    train_key: str
    digest: str
    pipeline: str = ROOT

    def to_json(self) -> dict[str, Any]:
        """The record as record.json holds it, but for its format version; `pipeline` only if it is not the root."""
        fields = asdict(self) | {"git": self.git.to_json()}
        if self.pipeline == ROOT:
            del fields["pipeline"]
        for name, stage in self.stages.items():
            fields["stages"][name]["made_by"] = stage.made_by and stage.made_by.to_json()
        return fields


@dataclass(frozen=True)
class LineageFiles:
    """The files that are kept with the MLflow run of a registered model."""

    lock: bytes
    params: bytes
    diff: bytes  # from the commit to the files of the checkout; empty if nothing differs
    record: LineageRecord

    @classmethod
    def read(cls, folder: Path) -> "LineageFiles":
        """Read the files that `write` wrote; ArtifactError if one is missing, damaged or of another format version."""
        record = read_record(folder / RECORD)
        try:
            lock, params = (folder / LOCK).read_bytes(), (folder / PARAMS).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{error.filename} cannot be read: {error.strerror}") from None
        diff = folder / DIFF
        return cls(lock, params, diff.read_bytes() if diff.exists() else b"", record)

    def write(self, folder: Path) -> None:
        """Write the files into a new folder."""
        folder.mkdir(parents=True)
        (folder / LOCK).write_bytes(self.lock)
        (folder / PARAMS).write_bytes(self.params)
        if self.diff:
            (folder / DIFF).write_bytes(self.diff)
        write_json(folder / RECORD, self._versioned_record())

    def data_digests(self) -> dict[str, str]:
        """The MD5s of the corpus: the inputs of tokenize in dvc.lock, without its code."""
        deps = read_lock(self.lock)["tokenize"]["deps"]
        return {entry["path"]: entry["md5"] for entry in deps if not entry["path"].startswith("stages/")}

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file by name; that of the record is over its canonical JSON."""
        files = {LOCK: self.lock, PARAMS: self.params} | ({DIFF: self.diff} if self.diff else {})
        return {name: hashlib.sha256(text).hexdigest() for name, text in files.items()} | {
            RECORD: json_digest(self._versioned_record())
        }

    def _versioned_record(self) -> dict[str, Any]:
        return {"format_version": FORMAT_VERSION, **self.record.to_json()}


def current_lineage(
    made_by: Mapping[str, Execution | None],
    *,
    device: str,
    precision: str,
    threads: int,
    train_key: str,
    digest: str,
    pipeline: Path = Path(),
) -> LineageFiles:
    """The lineage of the model of a pipeline of this checkout, at the moment of its registration.

    `pipeline` is its folder; the working directory is the root. `made_by` holds the known executions of tokenize, train
    and evaluate; the rest comes from the model's training record. ArtifactError if DVC has not run here, UserError if
    git cannot tell the commit.
    """
    git = git_state()
    pipeline = Path(os.path.relpath(pipeline))
    lock, params = _read(pipeline / LOCK), _read(pipeline / PARAMS)
    locked, values = read_lock(lock), YAML(typ="safe").load(params)
    registration = current_execution()
    stages = {
        name: record_stage(locked[name], _without_environment(made_by.get(name)))
        for name in STAGES_WITH_OUTPUTS
        if name in locked
    }
    stages[REGISTER] = StageRecord(
        command=recipe_command(REGISTER, pipeline),
        inputs=[entry for name in STAGES_WITH_OUTPUTS[1:] if name in stages for entry in stages[name].outputs],
        params=flatten_params(values[REGISTER], f"{REGISTER}."),
        outputs=[],
        made_by=_without_environment(registration),
    )
    corpora, pretrained = _list_corpora(values), values["model"]["pretrained"]
    dag = (pipeline / DAG).as_posix()
    new_dag = untracked_files(dag) if dag != DAG else []  # of a pipeline that is not yet committed: the patch has it
    outside: list[str] = []
    if git.commit:  # else there may be no git to ask what it tracks
        outside = [part for name in sorted({DAG, dag}.difference(new_dag)) for part in _untracked_parts(name)]
        outside += [part for corpus in corpora for part in _untracked_parts(corpus)]
        outside += _untracked_parts(pretrained, may_be_a_name=True)
    dvc_files = [file for place in (*corpora, pretrained) for file in _dvc_files(place)]
    diff = git_diff([*new_dag, *untracked_files("stages", *dvc_files)])
    environment = (made_by.get("train") or registration).environment
    assert environment is not None
    record = LineageRecord(
        registered=registration.time,
        git=replace(git, dirty=bool(diff) if git.commit else None),
        flow_run=registration.flow_run,
        rebuildable=git.commit is not None and not outside,
        outside=outside,
        params=values,
        environment=TrainingEnvironment(**vars(environment), device=device, precision=precision, threads=threads),
        stages=stages,
        train_key=train_key,
        digest=digest,
        pipeline=pipeline.as_posix(),
    )
    return LineageFiles(lock, params, diff, record)


def _list_corpora(params: Mapping[str, Any]) -> list[str]:
    """The corpora that a model was trained and scored on, by the values of its params file."""
    replayed = params.get("train", {}).get("replay", {}).get("corpus")
    older = [*([replayed] if replayed else []), *params.get("evaluate", {}).get("also", [])]
    return list(dict.fromkeys([params["data"]["dir"], *older]))


def read_record(path: Path) -> LineageRecord:
    """Read record.json; ArtifactError if it is missing, damaged or of another format version."""
    fields = read_versioned(path, format_version=FORMAT_VERSION, stage=REGISTER)
    record = _validate(fields, LineageRecord, path)
    if {"format_version": FORMAT_VERSION, **record.to_json()} != fields:  # or its digest would hide the alteration
        raise ArtifactError(f"{path.name} is damaged (unknown keys)")
    return record


def read_execution(path: Path) -> Execution:
    """Read the execution that a stage reported to its MLflow run; ArtifactError if the file is damaged."""
    return _validate(read_json(path), Execution, path)


def read_lock(text: bytes) -> dict[str, dict[str, Any]]:
    """The stages of a dvc.lock by name."""
    stages: dict[str, dict[str, Any]] = YAML(typ="safe").load(text)["stages"]
    return stages


def record_stage(locked: Mapping[str, Any], made_by: Execution | None = None) -> StageRecord:
    """The record of a stage of dvc.lock; its folders are expanded if their files are still those that it used."""
    return StageRecord(
        command=locked["cmd"],
        inputs=[file for entry in locked.get("deps", []) for file in _expand(entry["path"], entry["md5"])],
        params={
            key: value
            for sections in locked.get("params", {}).values()
            for key, value in flatten_params(sections).items()
        },
        outputs=[file for entry in locked.get("outs", []) for file in _expand(entry["path"], entry["md5"])],
        made_by=made_by,
    )


def flatten_params(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted names."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= flatten_params(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return leaves


def _validate(fields: dict[str, Any], record: type[R], path: Path) -> R:
    try:
        return TypeAdapter(record).validate_python(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise ArtifactError(f"{path.name} is damaged ({key}: {fault['msg']})") from None


def _without_environment(execution: Execution | None) -> Execution | None:
    return execution and replace(execution, environment=None)


def recipe_command(stage: str, pipeline: Path) -> str:
    """The command of a stage in the dvc.yaml of the pipeline in this folder."""
    options = "" if pipeline == Path() else f" --params {(pipeline / PARAMS).as_posix()}"
    return f"python -m stages.{stage}{options}"


def _read(name: Path) -> bytes:
    try:
        return name.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{name} cannot be read ({error.strerror}), and the model's lineage needs it. Run the stages with "
            "`tuneline run` or `dvc repro`, from the root of the project."
        ) from None


def _expand(path: str, digest: str) -> list[FileEntry]:
    """The files of a folder of dvc.lock that still has its digest; for others, and for files, the entry itself."""
    if digest.endswith(FOLDER) and Path(path).is_dir():
        files = [
            {"md5": md5_digest(file), "relpath": file.relative_to(path).as_posix()}
            for file in _files_seen_by_dvc(Path(path))
        ]
        files.sort(key=lambda entry: entry["relpath"])
        # The digest of a folder as DVC computes it (dvc_data/hashfile/tree.py).
        if hashlib.md5(json.dumps(files, sort_keys=True).encode()).hexdigest() + FOLDER == digest:
            return [FileEntry(f"{path}/{entry['relpath']}", entry["md5"]) for entry in files]
    return [FileEntry(path, digest)]


def _files_seen_by_dvc(folder: Path) -> Iterator[Path]:
    """The files below a folder that .dvcignore does not exclude."""
    ignored = Path(".dvcignore")
    patterns = ignored.read_text(encoding="utf-8").splitlines() if ignored.exists() else []
    spec = GitIgnoreSpec.from_lines(patterns)
    for path in folder.rglob("*"):
        if path.is_file() and not spec.match_file(os.path.relpath(path)):
            yield path


def _untracked_parts(location: str, *, may_be_a_name: bool = False) -> list[str]:
    """The files at a location that neither git nor DVC tracks; the location itself if none of it is tracked."""
    path = Path(location)
    if may_be_a_name and not path.exists():
        return []  # the name of a model on a hub or in a wheel
    if not path.resolve().is_relative_to(Path.cwd().resolve()):
        return [location]
    if _dvc_files(location):
        return []
    inside = path.resolve().relative_to(Path.cwd().resolve())
    files = {file.as_posix() for file in (_files_seen_by_dvc(inside) if inside.is_dir() else [inside])}
    tracked = set(tracked_files(inside.as_posix()))
    return [inside.as_posix()] if not files & tracked else sorted(files - tracked)


def _dvc_files(location: str) -> list[str]:
    """The `.dvc` files that track a file or folder: its own and those of the folders around it."""
    path = Path(os.path.relpath(Path(location).resolve()))
    return [f"{each}.dvc" for each in (path, *path.parents) if Path(f"{each}.dvc").is_file()]
