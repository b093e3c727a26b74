"""Brings a corpus into the project: fetched, put into the standard form, given to DVC; all or nothing."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.checkout.params_file import with_values
from pipeline.checkout.processes import run_json
from pipeline.checkout.scratch import work_folder
from pipeline.corpora.download import fetch, recorded, without_credentials
from stages.artifacts import file_digest, folder_digest, write_json
from stages.errors import UserError, listed
from stages.params import read_document

CORPORA = Path("data/corpora")
DEMO = "demo"
PROVENANCE = "provenance.json"
FORMAT_VERSION = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
READING = ("data.format", "data.words", "data.tags")


@dataclass(frozen=True)
class Imported:
    """A corpus that is now in the project."""

    path: Path
    dvc_file: Path
    source: str  # as it is recorded
    digest: str  # over names and bytes of its files
    found: dict[str, Any]  # scheme, splits, findings and counts, as `tuneline check` tells them


def import_corpus(
    source: str,
    name: str,
    *,
    settings: Sequence[str],
    licence: str | None,
    force: bool,
    here: Path,
    on_progress: Callable[[str], None],
) -> Imported:
    """Fetch `source` and keep it as data/corpora/`name`; a relative path counts from `here`.

    UserError if that cannot be, and then the project is as it was. `licence` is its text.
    """
    destination = CORPORA / name
    _check_name(name, destination, force=force)
    _check_settings(settings)
    with work_folder("import") as work:
        fetched = fetch(source, work / "source", here=here)
        built, params = work / name, work / f"{name}.yaml"
        params.write_text(_params(fetched.place, params, settings), encoding="utf-8")
        found = _converted(params, shown=(fetched.place, without_credentials(source)), on_progress=on_progress)
        record = {
            "format_version": FORMAT_VERSION,
            "source": recorded(source),
            "files": {path: _described(fetched.folder / path) for path in fetched.files},
            "reading": dict(_reading(params)),
            "scheme": found["scheme"],
            "licence": licence if licence is not None else fetched.licence,
        }
        write_json(built / PROVENANCE, record)
        with _placed(built, destination):
            _dvc_add(destination)
    dvc_file = destination.with_name(f"{name}.dvc")
    return Imported(destination, dvc_file, record["source"], folder_digest(destination), found)


def _check_name(name: str, destination: Path, *, force: bool) -> None:
    if not NAME.fullmatch(name) or name.endswith(".dvc"):
        raise UserError(
            f"{name!r} cannot name a corpus: letters, digits, '-', '_' and '.', at most 100, the first a letter or "
            "digit, and not ending in .dvc"
        )
    tracked = subprocess.run(["git", "ls-files", "--", str(destination)], capture_output=True, text=True, check=False)
    if name == DEMO or tracked.stdout.strip():
        raise UserError(f"{destination} is kept by git, and git and DVC cannot both keep it. Choose another name.")
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise UserError(f"{destination} is there, and no folder. Choose another name, or move it away.")
    if not force and (destination.exists() or destination.with_name(f"{name}.dvc").exists()):
        raise UserError(f"{destination} exists already. Choose another name, or replace it with --force.")


def _check_settings(settings: Sequence[str]) -> None:
    faults = [setting for setting in settings if setting.partition("=")[0] not in READING]
    if faults:
        heading = f"--set says here how to read the source: {', '.join(READING)}, nothing else. Not usable:"
        raise UserError(listed(heading, faults))


def _params(place: Path, file: Path, settings: Sequence[str]) -> str:
    """The params of convert_corpus: all is found out, but for what `settings` say."""
    directory = json.dumps(str(place), ensure_ascii=False)
    file.write_text(
        f"data:\n  dir: {directory}\n  format: auto\n  words: auto\n  tags: auto\n  split: null\n", encoding="utf-8"
    )
    return with_values(file, settings)


def _reading(params: Path) -> Iterator[tuple[str, Any]]:
    data = read_document(params)["data"]
    for key in READING:
        knob = key.removeprefix("data.")
        yield knob, data[knob]


def _converted(params: Path, *, shown: tuple[Path, str], on_progress: Callable[[str], None]) -> dict[str, Any]:
    """What `stages.tools.convert_corpus` tells of the corpus it has written beside `params`.

    `shown` is where the source lies for the moment, and what it is called instead.
    """

    def renamed(text: str) -> str:
        text = re.sub(rf"{re.escape(str(params))}:\d+", "--set", text)
        return text.replace(str(shown[0]), shown[1].rstrip("/")).replace(str(params), "--set")

    try:
        found = run_json("stages.tools.convert_corpus", params, on_progress=on_progress)
    except UserError as error:
        raise UserError(renamed(str(error))) from None
    # How to train on a corpus without splits is said of the copy, not of the source.
    kept = [finding for finding in found["findings"] if finding["code"] != "unsplit"]
    found["findings"] = [
        finding | {"where": renamed(finding["where"]), "message": renamed(finding["message"])} for finding in kept
    ]
    return found | {"dir": shown[1]}


def _described(path: Path) -> dict[str, Any]:
    return {"sha256": file_digest(path), "bytes": path.stat().st_size}


@contextmanager
def _placed(built: Path, destination: Path) -> Iterator[None]:
    """Put a finished folder into its place; if what follows fails, all is again as it was."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    files = (destination.with_name(f"{destination.name}.dvc"), destination.with_name(".gitignore"))  # DVC writes these
    before = [file.read_bytes() if file.exists() else None for file in files]
    # Not in the work folder, which the next import clears: a kill between two renames shall lose nothing.
    old = destination.with_name(f".{destination.name}.old-{os.getpid()}-{secrets.token_hex(4)}.part")
    replaces = destination.exists()
    try:
        if replaces:
            destination.rename(old)
        built.rename(destination)
        yield
    except BaseException:
        if not replaces or old.exists():  # else what is there is still the old one
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


def _dvc_add(folder: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "dvc", "add", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        said = [line for line in finished.stderr.splitlines() if line.strip()]
        refusals = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
        reason = "; ".join(refusals) or " ".join(said[-1:]) or f"`dvc add` ended with {finished.returncode}"
        raise UserError(f"DVC does not take {folder}: {reason}")
