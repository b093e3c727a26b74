"""Files that nothing reaches: in DVC's cache, of trainings that did not end, of commands that were killed.

DVC's own gc is no help with the cache: its dry run fetches the lists of old folders from the remote, and deletes
damaged files.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from pipeline.checkout.layout import CHECKPOINT_DIR, PARAMS, TRAIN_KEY
from pipeline.checkout.params_file import value_of
from pipeline.checkout.scratch import WORK
from pipeline.cleanup.garbage import DIGEST, Garbage
from stages.errors import UserError
from stages.tracking.lineage_record import FOLDER

LEFTOVER = re.compile(r"(?:reproduce|import|compare)-(\d+)-\w+")  # see scratch.py; the number is that of a process
NAMES = 3  # of a folder's files that are shown


def in_cache(reached: set[str], on_line: Callable[[str], None]) -> Iterator[Garbage]:
    """Folders, each with the files that are left of it; then the files that are in none.

    A reached folder whose list is not in the cache keeps no file: DVC would not find one without it, and fetches all of
    them with the list, which the remote has only once it has the files.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        cache = Path(repo.cache.local.path)
    why = "no commit, no checkout and no version that stays names it"
    if not cache.resolve().is_relative_to(Path.cwd().resolve()):
        on_line(f"DVC's cache {cache} stays: it lies outside this project, and others may share it")
        return
    objects = {
        digest: path for path in cache.glob("??/*") if DIGEST.fullmatch(digest := f"{path.parent.name}{path.name}")
    }
    folders = {digest: _listed(path) for digest, path in objects.items() if digest.endswith(FOLDER)}
    left = objects.keys() - reached
    left -= {file for digest in reached & folders.keys() for file in folders[digest].values()}
    for digest in sorted(left & folders.keys()):
        names = sorted(name for name, file in folders[digest].items() if file in left)
        own = sorted({folders[digest][name] for name in names})
        # The list of the folder goes first: one that is there means to DVC that its files are.
        paths = [objects[each] for each in (digest, *own)]
        left -= {digest, *own}
        yield _cached(f"folder {digest[:12]}", names, why, paths)
    for digest in sorted(left):
        yield _cached(f"file {digest[:12]}", [], why, [objects[digest]])


def _cached(what: str, names: list[str], why: str, paths: list[Path]) -> Garbage:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    shown = f": {', '.join(names[:NAMES])}{more}" if names else ""
    size = sum(path.stat().st_size for path in paths)
    return Garbage("cache", f"{what}{shown}", why, size, tuple(map(str, paths)))


def _listed(path: Path) -> dict[str, str]:
    """The files of a folder by their names, with their MD5s."""
    try:
        return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} in DVC's cache is damaged; delete it, and `dvc fetch` what it was of") from None


def checkpoints(limit: float) -> Iterator[Garbage]:
    """Of trainings that did not end and do not run, and the locks of those that ended."""
    root = Path(value_of(PARAMS, CHECKPOINT_DIR))
    for folder in sorted(root.glob(TRAIN_KEY)):
        lock = folder.with_name(f"{folder.name}.lock")
        files = [folder, *folder.rglob("*")]
        if not _is_locked(lock) and max(path.stat().st_mtime for path in files) < limit:
            sizes = {path.stat().st_ino: path.stat().st_size for path in files if path.is_file()}  # links count once
            yield Garbage("checkpoint", f"training {folder.name[:12]}", "it did not end, and nobody goes on with it",
                          sum(sizes.values()), (str(folder), str(lock)))  # fmt: skip
    for lock in sorted(root.glob(f"{TRAIN_KEY}.lock")):
        if not lock.with_suffix("").exists() and not lock.stat().st_size and not _is_locked(lock):
            yield Garbage("lock", f"training {lock.stem[:12]}", "it has ended", 0, (str(lock),))


def _is_locked(path: Path) -> bool:
    lock = FileLock(path)
    if not path.exists():
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def leftovers() -> Iterator[Garbage]:
    """Folders of commands that were killed; see scratch.py."""
    for folder in sorted(WORK.glob("*-*-*")):
        found = LEFTOVER.fullmatch(folder.name)
        if found and not psutil.pid_exists(int(found[1])):
            size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
            yield Garbage("leftover", str(folder), "its command was killed", size, (str(folder),))


def delete(garbage: Garbage) -> None:
    """Delete files or folders; what a training has taken into use meanwhile stays."""
    if garbage.kind in ("checkpoint", "lock"):
        with suppress(Timeout), FileLock(garbage.place[-1], timeout=0):
            _delete(garbage.place)  # whoever waits for the lock sees that its file is gone, and makes another
    else:
        _delete(garbage.place)


def _delete(places: tuple[str, ...]) -> None:
    for place in map(Path, places):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
