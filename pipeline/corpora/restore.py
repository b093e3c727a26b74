"""The corpus of a registered version as it was, from wherever its files still are."""

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import UserError, first_line
from stages.tracking.lineage_record import FOLDER, LineageFiles

if TYPE_CHECKING:
    from dvc_data.hashfile.db import HashFileDB

READER = "tokenize"  # the stage that reads the corpus
WHOLE = "."  # the path of data.dir within itself


def data_digests(origin: LineageFiles) -> dict[str, str]:
    """The recorded MD5 of each file of the corpus, by its path within `data.dir`; of one that is a file, by WHOLE.

    A folder that the record has not opened is one entry as well: WHOLE, with a digest that ends in `.dir`.
    """
    place = origin.record["params"]["data"]["dir"]
    inputs = origin.record["stages"][READER]["inputs"]
    digests = {os.path.relpath(entry["path"], place): entry["digest"] for entry in inputs}
    return {path: digest for path, digest in sorted(digests.items()) if not path.startswith(os.pardir)}


def fetched(origin: LineageFiles, folder: Path) -> Path:
    """Lay the corpus of a version into `folder`, which is there and empty; its place: the folder, or the file in it.

    Each file has the MD5 that was recorded: as it lies here, else from git at the recorded commit, with or without the
    recorded changes, else from DVC's cache or its remote. UserError, in one line, if one is to be had from nowhere.
    """
    place = Path(origin.record["params"]["data"]["dir"])
    digests = data_digests(origin)
    if digests.get(WHOLE, "").endswith(FOLDER):
        digests = _listed(origin, place, digests[WHOLE])
    for name, digest in digests.items():
        target = folder / (place.name if name == WHOLE else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        _lay(origin, place / name, digest, target)
    return folder / place.name if WHOLE in digests else folder


def _listed(origin: LineageFiles, place: Path, digest: str) -> dict[str, str]:
    """The digests of the files of a folder that DVC keeps, by their paths in it."""
    with tempfile.TemporaryDirectory() as work:
        listing = Path(work) / "listing"
        _lay(origin, place, digest, listing)
        return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}


def _lay(origin: LineageFiles, path: Path, digest: str, target: Path) -> None:
    """Have in `target` what was at `path`."""
    wanted = digest.removesuffix(FOLDER)
    if _is(path, wanted):
        target.symlink_to(path.absolute())  # a corpus may be large
        return
    _from_git(origin, path, wanted, target)
    reason = "" if _is(target, wanted) else _from_dvc(digest, wanted, target)
    if not _is(target, wanted):
        raise UserError(
            f"{path} with the MD5 {wanted} is neither here nor in git at the recorded commit, nor in DVC's cache or "
            f"remote{reason}"
        )


def _from_git(origin: LineageFiles, path: Path, digest: str, target: Path) -> None:
    """Put the file there as it was in the recorded commit, or if that is another one, with the recorded changes."""
    if path.is_absolute() or os.pardir in path.parts:
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        file = Path(work) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            blob = f"{origin.record['git']['commit']}:./{path.as_posix()}"
            found = subprocess.run(
                ["git", "cat-file", "blob", blob], stdout=stream, stderr=subprocess.DEVNULL, check=False
            )
        if found.returncode:
            file.unlink()
        if origin.diff and not _is(file, digest):
            subprocess.run(
                ["git", "apply", "--binary", "--whitespace=nowarn", f"--include={path.as_posix()}"],
                cwd=work,
                env={**os.environ, "GIT_CEILING_DIRECTORIES": str(target.parent.absolute())},  # it is no checkout
                input=origin.diff,
                capture_output=True,
                check=False,
            )
        if file.exists():
            file.rename(target)


def _from_dvc(digest: str, wanted: str, target: Path) -> str:
    """Put an object of DVC there; why its remote gave it not, in brackets, if that is known."""
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            _copy(repo.cache.local, digest, target)
            if _is(target, wanted):
                return ""
            if not repo.config["core"].get("remote"):
                return " (it has no default remote here)"
            _copy(repo.cloud.get_remote_odb(), digest, target)
    except Exception as error:  # each kind of remote has its own
        return f" ({first_line(error)})"
    return ""


def _copy(store: "HashFileDB", digest: str, target: Path) -> None:
    path = store.oid_to_path(digest)
    if store.fs.exists(path):
        store.fs.get_file(path, str(target))


def _is(path: Path, digest: str) -> bool:
    """Whether a file is there and has this MD5."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest() == digest
