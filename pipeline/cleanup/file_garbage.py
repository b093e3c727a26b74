"""Files that nothing uses: in DVC's cache, checkpoints of unfinished training runs, folders of killed commands.

DVC's own gc does not fit: its dry run fetches the lists of old folders from the remote, and deletes damaged files.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from pipeline.checkout.layout import CHECKPOINT_DIR, PARAMS, TRAIN_KEY_GLOB, find_pipelines
from pipeline.checkout.params_file import read_value
from pipeline.checkout.scratch import WORK
from pipeline.cleanup.garbage import DIGEST, Garbage
from stages.errors import UserError
from stages.runtime.project import FETCHED
from stages.tracking.lineage_record import FOLDER

LEFTOVER = re.compile(r"(?:reproduce|import|compare)-(\d+)-\w+")  # with the process id: see scratch.py
MAX_NAMES = 3  # of a folder's files that are shown


def find_in_cache(needed: set[str], on_line: Callable[[str], None]) -> Iterator[Garbage]:
    """The objects of DVC's cache that are not needed: folders, each with its files, then files that are in no folder.

    A needed folder whose list is missing from the cache protects no file: without the list DVC would not find them, and
    it fetches them together with the list, which the remote has only if it has all of them.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        cache = Path(repo.cache.local.path)
    why = "no commit, no worktree and no version that stays needs it"
    if not cache.resolve().is_relative_to(Path.cwd().resolve()):
        on_line(f"DVC's cache {cache} stays: it is outside this project, and others may share it")
        return
    objects = {
        digest: path for path in cache.glob("??/*") if DIGEST.fullmatch(digest := f"{path.parent.name}{path.name}")
    }
    folders = {digest: _read_list(path) for digest, path in objects.items() if digest.endswith(FOLDER)}
    unused = objects.keys() - needed
    unused -= {file for digest in needed & folders.keys() for file in folders[digest].values()}
    for digest in sorted(unused & folders.keys()):
        names = sorted(name for name, file in folders[digest].items() if file in unused)
        files = sorted({folders[digest][name] for name in names})
        # The list of the folder is deleted first: if DVC finds one, it assumes that the files exist.
        paths = [objects[each] for each in (digest, *files)]
        unused -= {digest, *files}
        yield _cache_garbage(f"folder {digest[:12]}", names, why, paths)
    for digest in sorted(unused):
        yield _cache_garbage(f"file {digest[:12]}", [], why, [objects[digest]])


def _cache_garbage(what: str, names: list[str], why: str, paths: list[Path]) -> Garbage:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    listed = f": {', '.join(names[:MAX_NAMES])}{more}" if names else ""
    size = sum(path.stat().st_size for path in paths)
    return Garbage("cache", f"{what}{listed}", why, size, tuple(map(str, paths)))


def _read_list(path: Path) -> dict[str, str]:
    """The MD5s of a folder's files by name, from the list in DVC's cache."""
    try:
        return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} in DVC's cache is damaged; delete it, then run `dvc fetch`") from None


def find_checkpoints(limit: float) -> Iterator[Garbage]:
    """Checkpoints, older than `limit`, of training runs that neither finished nor run, and locks of finished runs.

    `limit` is in seconds since the epoch. They lie where the params.yaml of the root and of each other pipeline say.
    """
    files = (folder / PARAMS for folder in find_pipelines())
    for root in dict.fromkeys(Path(read_value(file, CHECKPOINT_DIR)) for file in files):
        yield from _find_checkpoints(root, limit)


def _find_checkpoints(root: Path, limit: float) -> Iterator[Garbage]:
    for folder in sorted(root.glob(TRAIN_KEY_GLOB)):
        lock = folder.with_name(f"{folder.name}.lock")
        files = [folder, *folder.rglob("*")]
        if not _is_locked(lock) and max(path.stat().st_mtime for path in files) < limit:
            sizes = {path.stat().st_ino: path.stat().st_size for path in files if path.is_file()}  # links count once
            yield Garbage("checkpoint", f"training run {folder.name[:12]}", "it neither finished nor is it running",
                          sum(sizes.values()), (str(folder), str(lock)))  # fmt: skip
    for lock in sorted(root.glob(f"{TRAIN_KEY_GLOB}.lock")):
        if not lock.with_suffix("").exists() and not lock.stat().st_size and not _is_locked(lock):
            yield Garbage("lock", f"training run {lock.stem[:12]}", "it has finished", 0, (str(lock),))


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


def find_leftovers() -> Iterator[Garbage]:
    """Temporary folders of killed commands; see scratch.py."""
    for folder in sorted(WORK.glob("*-*-*")):
        found = LEFTOVER.fullmatch(folder.name)
        if found and not psutil.pid_exists(int(found[1])):
            size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
            yield Garbage("leftover", str(folder), "its command was killed", size, (str(folder),))


def find_fetched() -> Iterator[Garbage]:
    """Files of registered models that were fetched, and from which no pipeline goes on."""
    folders = sorted(FETCHED.glob("[0-9a-f]" * 64))
    pinned = {read_value(folder / PARAMS, "model.sha256") for folder in find_pipelines()} if folders else set()
    for folder in folders:
        if folder.name not in pinned:
            size = sum(path.stat().st_size for path in folder.iterdir())
            yield Garbage("pretrained", f"fetched model {folder.name[:12]}", "no pipeline is trained from it", size,
                          (str(folder),))  # fmt: skip


def delete(garbage: Garbage) -> None:
    """Delete files or folders; a checkpoint stays if a training run uses it by now."""
    if garbage.kind in ("checkpoint", "lock"):
        with suppress(Timeout), FileLock(garbage.place[-1], timeout=0):
            _delete(garbage.place)  # a process that waits for the lock finds its file missing, and creates a new one
    else:
        _delete(garbage.place)


def _delete(paths: tuple[str, ...]) -> None:
    for path in map(Path, paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
