"""What made a model, written down when it is registered: dvc.lock, params.yaml, the difference from the commit, and
a record of every stage with each of its files.

A file's digest is its MD5, as in dvc.lock and in DVC's cache; a folder that has changed since DVC saw it is one entry.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec
from ruamel.yaml import YAML

from stages.artifacts import json_digest, read_versioned, write_json
from stages.errors import ArtifactError
from stages.tracking.environment import LOCK, PARAMS, execution, git_diff, tracked_files, untracked_files

FORMAT_VERSION = 1
RECORD = "record.json"
DIFF = "tree.diff"
FOLDER = ".dir"  # the end of a folder's digest
REGISTER = "register"
MADE = ("tokenize", "train", "evaluate")

Record = dict[str, Any]


@dataclass(frozen=True)
class LineageFiles:
    """The files that say what made a model, and what they say."""

    lock: bytes
    params: bytes
    diff: bytes  # of the checkout from its commit; empty if nothing differs
    record: Record

    @classmethod
    def read(cls, folder: Path) -> "LineageFiles":
        """What `write` wrote; ArtifactError if it is not whole, or of another format version."""
        record = read_record(folder / RECORD)
        try:
            lock, params = (folder / LOCK).read_bytes(), (folder / PARAMS).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{error.filename} cannot be read: {error.strerror}") from None
        diff = folder / DIFF
        return cls(lock, params, diff.read_bytes() if diff.exists() else b"", record)

    def write(self, folder: Path) -> None:
        """Write them into a folder, as they lie with the model's run."""
        folder.mkdir(parents=True)
        (folder / LOCK).write_bytes(self.lock)
        (folder / PARAMS).write_bytes(self.params)
        if self.diff:
            (folder / DIFF).write_bytes(self.diff)
        write_json(folder / RECORD, self.record)

    def data_digests(self) -> dict[str, str]:
        """What tokenize read but for its code, as dvc.lock has it: the corpus."""
        deps = read_lock(self.lock)["tokenize"]["deps"]
        return {entry["path"]: entry["md5"] for entry in deps if not entry["path"].startswith("stages/")}

    def digests(self) -> dict[str, str]:
        """SHA-256 of each of the files, by its name; of the record over its canonical JSON."""
        files = {LOCK: self.lock, PARAMS: self.params} | ({DIFF: self.diff} if self.diff else {})
        return {name: hashlib.sha256(text).hexdigest() for name, text in files.items()} | {
            RECORD: json_digest(self.record)
        }


def current_lineage(made_by: dict[str, Any], *, machine: dict[str, Any], **facts: Any) -> LineageFiles:
    """The origin of the model that this checkout has, at the moment of its registration.

    `made_by` says of tokenize, train and evaluate what is known of the run that computed each (None: nothing);
    `machine` is what the training says of its own; `facts` stand in the record as they are. ArtifactError if DVC has
    not run here.
    """
    lock, params = _read(LOCK), _read(PARAMS)
    locked, values = read_lock(lock), YAML(typ="safe").load(params)
    now = execution()
    stages = {
        name: stage_record(locked[name]) | {"made_by": _short(made_by.get(name))} for name in MADE if name in locked
    }
    stages[REGISTER] = {
        "command": f"python -m stages.{REGISTER}",
        "inputs": [entry for name in MADE[1:] for entry in stages.get(name, {}).get("outputs", [])],
        "params": dict(flat(values[REGISTER], f"{REGISTER}.")),
        "outputs": [],
        "made_by": _short(now),
    }
    outside = _outside(values["data"]["dir"]) + _outside(values["model"]["pretrained"], may_be_a_name=True)
    kept = [file for place in (values["data"]["dir"], values["model"]["pretrained"]) for file in _dvc_files(place)]
    diff = git_diff(untracked_files("stages", *kept))
    trained = (made_by.get("train") or now)["environment"]
    record = {
        "format_version": FORMAT_VERSION,
        "registered": now["time"],
        "git": {"commit": now["commit"], "dirty": bool(diff), "remote": now["remote"]},
        "flow_run": now["flow_run"],
        "rebuildable": now["commit"] is not None and not outside,
        "outside": outside,
        "params": values,
        "environment": machine | trained,
        "stages": stages,
        **facts,
    }
    return LineageFiles(lock, params, diff, record)


def read_record(path: Path) -> Record:
    """The record of an origin; ArtifactError if it is absent, damaged or of another format version."""
    return read_versioned(path, format_version=FORMAT_VERSION, stage=REGISTER)


def _short(execution: Record | None) -> Record | None:
    """An execution without its environment."""
    return execution and {key: value for key, value in execution.items() if key != "environment"}


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{name} cannot be read ({error.strerror}), and it says what made the model. Run the stages by "
            "`tuneline run` or `dvc repro`, from the root of the project."
        ) from None


def read_lock(text: bytes) -> dict[str, Record]:
    """The stages of a dvc.lock, by their names."""
    stages: dict[str, Record] = YAML(typ="safe").load(text)["stages"]
    return stages


def stage_record(locked: Record) -> Record:
    """A stage of dvc.lock with its folders opened, as far as they lie here as they did for the stage."""
    params = {key: value for sections in locked.get("params", {}).values() for key, value in flat(sections)}
    return {
        "command": locked["cmd"],
        "inputs": [file for entry in locked.get("deps", []) for file in _files(entry["path"], entry["md5"])],
        "params": params,
        "outputs": [file for entry in locked.get("outs", []) for file in _files(entry["path"], entry["md5"])],
    }


def _files(path: str, digest: str) -> list[dict[str, str]]:
    """The files of an entry of dvc.lock, if they are still those of its digest; else the entry alone."""
    if digest.endswith(FOLDER) and Path(path).is_dir():
        listed = [
            {"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in _seen_by_dvc(Path(path))
        ]
        listed.sort(key=lambda entry: entry["relpath"])
        # As DVC makes the digest of a folder (dvc_data/hashfile/tree.py).
        if hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + FOLDER == digest:
            return [{"path": f"{path}/{entry['relpath']}", "digest": entry["md5"]} for entry in listed]
    return [{"path": path, "digest": digest}]


def _seen_by_dvc(folder: Path) -> Iterator[Path]:
    ignored = Path(".dvcignore")
    patterns = ignored.read_text(encoding="utf-8").splitlines() if ignored.exists() else []
    unseen = GitIgnoreSpec.from_lines(patterns)
    for path in folder.rglob("*"):
        if path.is_file() and not unseen.match_file(os.path.relpath(path)):
            yield path


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _outside(place: str, *, may_be_a_name: bool = False) -> list[str]:
    """What of a file or folder neither git nor DVC keeps, so that nobody elsewhere could have it."""
    path = Path(place)
    if may_be_a_name and not path.exists():
        return []  # of a hub, or in a wheel
    if not path.resolve().is_relative_to(Path.cwd().resolve()):
        return [place]
    if _dvc_files(place):
        return []
    inside = path.resolve().relative_to(Path.cwd().resolve())
    files = {file.as_posix() for file in (_seen_by_dvc(inside) if inside.is_dir() else [inside])}
    tracked = set(tracked_files(inside.as_posix()))
    return [inside.as_posix()] if not files & tracked else sorted(files - tracked)


def flat(tree: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys, each with its value."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _dvc_files(place: str) -> list[str]:
    """The `.dvc` files by which DVC keeps a file or folder of the checkout: its own, or that of a folder around it."""
    path = Path(os.path.relpath(Path(place).resolve()))
    return [f"{each}.dvc" for each in (path, *path.parents) if Path(f"{each}.dvc").is_file()]
