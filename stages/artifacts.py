"""Files that a stage writes: whole or absent, and named by their digest."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.errors import ArtifactError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` for a file or a folder; flush it and rename it to `path` at the end.

    Whatever happens in between, `path` is afterwards either complete or as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
        _flush_entry(path.parent)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}. Check permissions and free space, then run again."
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write `value` with sorted keys, so that equal values are equal bytes."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote; a missing or damaged file is an ArtifactError that names the stage to run."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file. `dvc repro` makes it.") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run `dvc repro`.") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files below `folder`, in hexadecimal."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return json_digest({path.relative_to(folder).as_posix(): file_digest(path) for path in files})


def json_digest(value: Any) -> str:
    """SHA-256 of the canonical JSON form of `value`, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _flush(path: Path) -> None:
    for entry in sorted(path.rglob("*")) if path.is_dir() else []:
        _flush_entry(entry)
    _flush_entry(path)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
