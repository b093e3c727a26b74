"""Import a corpus: download it, convert it to the standard form, add it to DVC; all or nothing."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pipeline.checkout.dvc_errors import require_repository
from pipeline.checkout.params_file import apply_settings
from pipeline.checkout.processes import run_json
from pipeline.checkout.scratch import work_folder
from pipeline.corpora.download import download, remove_credentials, to_portable_source
from stages.artifacts import file_digest, folder_digest, write_json
from stages.corpus.parts import Importing
from stages.errors import UserError, list_faults
from stages.params import read_document
from stages.task import load_part
from stages.tracking.git import tracked_files

CORPORA = Path("data/corpora")
DEMO = "demo"
PROVENANCE = "provenance.json"
FORMAT_VERSION = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class ImportedCorpus:
    """A corpus that has been added to the project."""

    path: Path
    dvc_file: Path
    source: str  # as in provenance.json
    digest: str  # over names and bytes of its files
    task: str
    part: Importing  # of that task
    reading: dict[str, Any]  # the parameters by which they are read, by dotted key
    profile: dict[str, Any]  # its figures, findings and counts, as `tuneline check` prints them


def import_corpus(
    source: str,
    name: str,
    *,
    section: Mapping[str, Any],
    settings: Sequence[str],
    licence: str | None,
    force: bool,
    here: Path,
    on_progress: Callable[[str], None],
) -> ImportedCorpus:
    """Import `source` as data/corpora/`name`; a relative path is relative to `here`, `licence` is a text.

    `section` names the task and holds what is set of its fields; `settings` come before it. All else is detected.
    UserError if that fails; the project is then unchanged.
    """
    task = section["name"]
    part = cast(Importing, load_part(task, "tools.importing"))
    destination = CORPORA / name
    _check_name(name, destination, force=force)
    _check_settings(settings, part.READING)
    require_repository()  # before a long download; `dvc add` comes last
    with work_folder("import") as work:
        downloaded = download(source, work / "source", here=here, has_class_folders=part.HAS_CLASS_FOLDERS)
        built, params = work / name, work / f"{name}.yaml"
        params.write_text(
            _params(downloaded.place, params, settings, section=section, reading=part.READING),
            encoding="utf-8",
        )
        shown = (downloaded.place, remove_credentials(source))
        profile = _convert(params, shown=shown, on_progress=on_progress)
        reading = _read_reading(params, part.READING)
        differing = {
            key.rpartition(".")[2]: value
            for key, value in reading.items()
            if key in part.ALWAYS_RECORDED or value != part.READING[key]
        }
        record = {
            "format_version": FORMAT_VERSION,
            "source": to_portable_source(source),
            "files": {path: _describe_file(downloaded.folder / path) for path in downloaded.files},
            "reading": differing,
            "licence": licence if licence is not None else downloaded.licence,
            **({"scheme": profile["scheme"]} if "scheme" in profile else {}),
        }
        write_json(built / PROVENANCE, record)
        with _install(built, destination):
            dvc_add(destination)
    dvc_file = destination.with_name(f"{name}.dvc")
    kept = reading if part.KEEPS_FILES else dict(part.READING)
    return ImportedCorpus(
        destination, dvc_file, to_portable_source(source), folder_digest(destination), task, part, kept, profile
    )


def _check_name(name: str, destination: Path, *, force: bool) -> None:
    if not NAME.fullmatch(name) or name.endswith(".dvc"):
        raise UserError(
            f"{name!r} cannot name a corpus: letters, digits, '-', '_' and '.', at most 100, the first a letter or "
            "digit, and not ending in .dvc"
        )
    if name == DEMO or tracked_files(str(destination)):
        raise UserError(f"{destination} is tracked by git, and git and DVC cannot both track it. Choose another name.")
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise UserError(f"{destination} exists and is not a folder. Choose another name, or move it away.")
    if not force and (destination.exists() or destination.with_name(f"{name}.dvc").exists()):
        raise UserError(f"{destination} exists already. Choose another name, or replace it with --force.")


def _check_settings(settings: Sequence[str], reading: Mapping[str, Any]) -> None:
    faults = [setting for setting in settings if setting.partition("=")[0] not in reading]
    if faults:
        heading = f"for an import, --set takes only {', '.join(reading)}. Not usable:"
        raise UserError(list_faults(heading, faults))


def _params(
    place: Path, file: Path, settings: Sequence[str], *, section: Mapping[str, Any], reading: Mapping[str, Any]
) -> str:
    """Return the params file of convert_corpus: all is detected but what `settings` and the task's `section` define."""
    sections: dict[str, dict[str, Any]] = {"task": {"name": section["name"]}, "data": {"dir": str(place)}}
    for key, value in reading.items():
        head, _, parameter = key.partition(".")
        sections[head][parameter] = section.get(parameter, value) if head == "task" else value
    sections["data"]["split"] = None
    lines = [
        line
        for section, values in sections.items()
        for line in (
            f"{section}:",
            *(f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()),
        )
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return apply_settings(file, settings)


def _read_reading(params: Path, reading: Mapping[str, Any]) -> dict[str, Any]:
    """How the source was read, by dotted key."""
    document = read_document(params)
    return {key: document[key.partition(".")[0]][key.partition(".")[2]] for key in reading}


def _convert(params: Path, *, shown: tuple[Path, str], on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Run `stages.tools.convert_corpus`, which writes the corpus beside `params`; return its profile.

    `shown` is the temporary place of the source, and what messages call it instead.
    """

    def rename(text: str) -> str:
        text = re.sub(rf"{re.escape(str(params))}:\d+", "--set", text)
        again = f"tuneline import {shown[1]} {params.stem} --force"  # to strip words is for the import
        text = text.replace(f"tuneline run --set data.dir={shown[0]}", again)
        return text.replace(str(shown[0]), shown[1].rstrip("/")).replace(str(params), "--set")

    try:
        profile = run_json("stages.tools.convert_corpus", params, on_progress=on_progress)
    except UserError as error:
        raise UserError(rename(str(error))) from None
    # Its advice on training without splits would name the source, not the imported copy; the caller gives it instead.
    diagnostics = [diagnostic for diagnostic in profile["findings"] if diagnostic["code"] != "unsplit"]
    profile["findings"] = [
        diagnostic | {"where": rename(diagnostic["where"]), "message": rename(diagnostic["message"])}
        for diagnostic in diagnostics
    ]
    return profile | {"dir": shown[1]}


def _describe_file(path: Path) -> dict[str, Any]:
    return {"sha256": file_digest(path), "bytes": path.stat().st_size}


@contextmanager
def _install(built: Path, destination: Path) -> Iterator[None]:
    """Move a finished folder to its destination; if the body fails, restore everything."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    files = (destination.with_name(f"{destination.name}.dvc"), destination.with_name(".gitignore"))  # DVC writes these
    before = [file.read_bytes() if file.exists() else None for file in files]
    # Not in the work folder, which the next import deletes: a kill between two renames must not lose the old corpus.
    old = destination.with_name(f".{destination.name}.old-{os.getpid()}-{secrets.token_hex(4)}.part")
    replaces = destination.exists()
    try:
        if replaces:
            destination.rename(old)
        built.rename(destination)
        yield
    except BaseException:
        if not replaces or old.exists():  # otherwise the destination is still the old corpus
            shutil.rmtree(destination, ignore_errors=True)
        if old.exists():
            old.rename(destination)
        for file, content in zip(files, before, strict=True):
            if content is None:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(content)
        raise
    shutil.rmtree(old, ignore_errors=True)


def dvc_add(folder: Path) -> None:
    """Have DVC track a folder; UserError with DVC's reason if it cannot."""
    finished = subprocess.run(
        [sys.executable, "-m", "dvc", "add", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        lines = [line for line in finished.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        reason = "; ".join(errors) or " ".join(lines[-1:]) or f"`dvc add` ended with {finished.returncode}"
        raise UserError(f"DVC cannot add {folder}: {reason}")
