"""Restore the corpus of a registered version from the checkout, git, DVC's cache or DVC's remote."""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stages.artifacts import md5_digest
from stages.errors import UserError, first_line
from stages.tracking.git import git
from stages.tracking.lineage_record import FOLDER, LineageFiles

if TYPE_CHECKING:
    from dvc_data.hashfile.db import HashFileDB

READER = "tokenize"  # the stage that reads the corpus
WHOLE = "."  # the path of data.dir within itself


def data_digests(lineage: LineageFiles) -> dict[str, str]:
    """Return the recorded MD5 of each file of the corpus, by its path within `data.dir`.

    If `data.dir` is a file, or a folder whose files are not recorded, there is one entry, WHOLE; the digest of such a
    folder ends in `.dir`.
    """
    place = lineage.record.params["data"]["dir"]
    inputs = lineage.record.stages[READER].inputs
    digests = {os.path.relpath(entry.path, place): entry.digest for entry in inputs}
    return {path: digest for path, digest in sorted(digests.items()) if not path.startswith(os.pardir)}


def restore_corpus(lineage: LineageFiles, folder: Path) -> Path:
    """Restore the corpus of a version into the empty `folder`; return its place, the folder or the one file in it.

    Each file has the recorded MD5 and comes from the checkout, else from git at the recorded commit, with or without
    the recorded changes, else from DVC's cache or remote. UserError, in one line, if none of them has it.
    """
    place = Path(lineage.record.params["data"]["dir"])
    digests = data_digests(lineage)
    if digests.get(WHOLE, "").endswith(FOLDER):
        digests = _list_folder(lineage, place, digests[WHOLE])
    for name, digest in digests.items():
        target = folder / (place.name if name == WHOLE else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        _restore(lineage, place / name, digest, target)
    return folder / place.name if WHOLE in digests else folder


def _list_folder(lineage: LineageFiles, place: Path, digest: str) -> dict[str, str]:
    """Return the MD5 of each file of a folder that DVC tracks, by its path within the folder."""
    with tempfile.TemporaryDirectory() as work:
        listing = Path(work) / "listing"
        _restore(lineage, place, digest, listing)
        return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}


def _restore(lineage: LineageFiles, path: Path, digest: str, target: Path) -> None:
    """Restore to `target` the file that was at `path`, or the listing of the folder."""
    md5 = digest.removesuffix(FOLDER)
    if _has_md5(path, md5):
        target.symlink_to(path.absolute())  # a corpus may be large
        return
    _restore_from_git(lineage, path, md5, target)
    reason = "" if _has_md5(target, md5) else _restore_from_dvc(digest, md5, target)
    if not _has_md5(target, md5):
        raise UserError(
            f"{path} with the MD5 {md5} is neither here nor in git at the recorded commit, nor in DVC's cache or "
            f"remote{reason}"
        )


def _restore_from_git(lineage: LineageFiles, path: Path, md5: str, target: Path) -> None:
    """Restore a file from the recorded commit; if its MD5 differs, apply the recorded changes as well."""
    if path.is_absolute() or os.pardir in path.parts:
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        file = Path(work) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(UserError):  # not in git, or git refuses; it may be in DVC's cache
            file.write_bytes(git("cat-file", "blob", f"{lineage.record.git.commit}:./{path.as_posix()}"))
        if lineage.diff and not _has_md5(file, md5):
            git(
                "apply", "--binary", "--whitespace=nowarn", f"--include={path.as_posix()}",
                folder=Path(work),
                stdin=lineage.diff,
                variables={"GIT_CEILING_DIRECTORIES": str(target.parent.absolute())},  # the folder is not a checkout
                empty_on=(1, 128),  # the recorded changes do not apply to it
            )  # fmt: skip
        if file.exists():
            file.rename(target)


def _restore_from_dvc(digest: str, md5: str, target: Path) -> str:
    """Restore an object from DVC's cache or remote; return in brackets why the remote failed, if that is known."""
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            _copy(repo.cache.local, digest, target)
            if _has_md5(target, md5):
                return ""
            if not repo.config["core"].get("remote"):
                return " (it has no default remote here)"
            _copy(repo.cloud.get_remote_odb(), digest, target)
    except Exception as error:  # each kind of remote raises its own errors
        return f" ({first_line(error)})"
    return ""


def _copy(store: "HashFileDB", digest: str, target: Path) -> None:
    path = store.oid_to_path(digest)
    if store.fs.exists(path):
        store.fs.get_file(path, str(target))


def _has_md5(path: Path, md5: str) -> bool:
    """Whether a file exists and has this MD5."""
    return path.is_file() and md5_digest(path) == md5
