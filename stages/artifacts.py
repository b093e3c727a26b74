"""Files that a stage writes: atomically, and identified by their digest."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError

from stages.errors import ArtifactError

if TYPE_CHECKING:  # pyarrow takes a quarter of a second to import
    import pyarrow as pa

WEIGHTS = "model.safetensors"  # in the folder of a model

R = TypeVar("R")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or a folder; flush it and rename it to `path` at the end.

    Whatever fails, `path` is either complete or unchanged. ArtifactError if it cannot be written.
    """
    path = path.resolve() if path.is_symlink() else path
    suffix = f"{os.getpid()}-{secrets.token_hex(4)}.part"
    temporary, old = path.with_name(f".{path.name}.new-{suffix}"), path.with_name(f".{path.name}.old-{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        if path.is_dir():
            path.rename(old)  # a folder cannot be replaced in one step
        temporary.rename(path)
        _flush_entry(path.parent)
    except Exception as error:
        # The Rust code of tokenizers raises a bare Exception, with the error of the system in its message.
        if not isinstance(error, OSError | SafetensorError) and "(os error " not in str(error):
            raise
        if old.exists() and not path.exists():
            old.rename(path)
        raise ArtifactError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}. "
            "Check permissions and free space, then run again."
        ) from error
    finally:
        for leftover in (temporary, old):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            elif leftover.exists():
                leftover.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with sorted keys, so that equal values become equal bytes."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; ArtifactError, with the command to run, if the file is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file. `dvc repro` makes it.") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run `dvc repro`.") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} is damaged (not a JSON object). Delete it and run `dvc repro`.")
    return value


def read_json_lines(path: Path, *, start: int = 0) -> list[dict[str, Any]]:
    """Read the objects of a JSON-lines file from the 0-based line `start` on, up to the first damaged one.

    An incomplete line, which a killed process left or a running one is writing, counts as damaged. A missing file has
    no objects.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    values: list[dict[str, Any]] = []
    for line in lines[start:]:
        try:
            value = json.loads(line)
        except ValueError:
            break
        if not isinstance(value, dict):
            break
        values.append(value)
    return values


def read_versioned(path: Path, *, format_version: int, stage: str) -> dict[str, Any]:
    """As `read_json`; ArtifactError if the `format_version` in the file differs."""
    fields = read_json(path)
    check_version(fields, path, format_version=format_version, stage=stage)
    return fields


def write_versioned_parquet(
    path: Path, tables: Sequence["pa.Table"], *, format_version: int, metadata: dict[str, Any] | None = None
) -> None:
    """Write tables of the same columns as one; its metadata hold the version, and values as JSON."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = {"format_version": format_version, **(metadata or {})}
    table = pa.concat_tables(tables)
    pq.write_table(table.replace_schema_metadata({key: json.dumps(value) for key, value in fields.items()}), path)


@contextmanager
def read_versioned_parquet(
    path: Path, *, format_version: int, stage: str
) -> Iterator[tuple["pa.Table", dict[str, Any]]]:
    """Yield a table and its metadata as `write_versioned_parquet` wrote them.

    ArtifactError if the file is missing, of another version, or damaged. It counts as damaged, too, where what is made
    of it meanwhile raises KeyError or ValueError.
    """
    import pyarrow.parquet as pq

    remedy = f"`dvc repro {stage}`"
    try:
        table = pq.read_table(path)
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        version = metadata.pop("format_version", "none")
        if version != str(format_version):
            raise ArtifactError(
                f"{path} has format version {version}, this Tuneline reads {format_version}. Run {remedy}."
            )
        yield table, {key: json.loads(value) for key, value in metadata.items()}
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file. {remedy} makes it.") from None
    except (OSError, KeyError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run {remedy}.") from None


def check_version(fields: dict[str, Any], path: Path, *, format_version: int, stage: str) -> None:
    """ArtifactError if the `format_version` in the fields of a file differs."""
    if fields.get("format_version") != format_version:
        raise ArtifactError(
            f"{path} has format version {fields.get('format_version')}, this Tuneline reads {format_version}. "
            f"Run `dvc repro {stage}`."
        )


def parse_dataclass(fields: dict[str, Any], record: type[R], path: Path) -> R:
    """Create a dataclass from the fields read from `path`; ArtifactError if any is missing or unknown."""
    try:
        return record(**fields)
    except TypeError as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run `dvc repro`.") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5_digest(path: Path) -> str:
    """MD5 of a file's bytes, in hexadecimal; DVC identifies files by it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


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
