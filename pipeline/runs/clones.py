"""The clones that a worker keeps: worktrees at exactly the commit and the parameters of a run, used again and again.

$TUNELINE_WORKSPACES/<repository>-<digest of its address>/
    mirror.git       all that was fetched
    cache/           DVC's cache, shared by the worktrees
    checkpoints/     of trainings, whichever worktree they began in
    train-0/         a worktree, and beside it train-0.lock, which the one process that works in it holds
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.checkout.layout import CHECKPOINT_DIR, PARAMS, TRAIN_KEY
from pipeline.checkout.params_file import value_of, with_values
from stages.artifacts import atomic_write
from stages.errors import UserError
from stages.tracking.environment import without_password

VARIABLE = "TUNELINE_WORKSPACES"
DEFAULT_ROOT = Path(__file__).parent.parent / ".tuneline/workspaces"
PINNED = Path(".tuneline/pinned.json")
DAY = 86400


class GitError(Exception):
    """Git failed, as where a repository does not answer; trying again may help."""


@dataclass(frozen=True)
class Pinned:
    """What all workers of a run agree on: a commit of a repository, and values set over its params.yaml."""

    repository: str
    commit: str
    settings: list[str] = field(default_factory=list)


def commit_of(repository: str, revision: str) -> str:
    """The commit that a branch, a tag or a commit stands for now; UserError if the repository has no such thing."""
    mirror = _fetched(repository)
    for name in (f"refs/heads/{revision}", revision):
        found = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", folder=mirror, check=False)
        if found:
            return found
    raise UserError(f"{without_password(repository)} has no branch, tag or commit {revision!r}")


@contextmanager
def workspace(pinned: Pinned, role: str) -> Iterator[Path]:
    """A worktree of what is pinned, for nobody else meanwhile; one that was used for this role before if one is free.

    It keeps what stages made in it. GitError if the commit cannot be had; UserError if the settings do not fit it.
    """
    base = _base(pinned.repository)
    base.mkdir(parents=True, exist_ok=True)
    lock = _free_slot(base, role)
    try:
        folder = Path(lock.lock_file).with_suffix("")
        _prepare(folder, pinned)
        yield folder
    finally:
        os.utime(lock.lock_file)  # by which remove_unused knows how long nobody was here
        lock.release()


def remove_unused(repository: str, checkpoints: Path, *, days: int) -> list[Path]:
    """Delete worktrees of `repository`, and checkpoints, that nobody used for so long; return what was deleted.

    Of DVC's cache what is so old goes too, without a word: the remote has it.
    """
    base, removed = _base(repository), []
    limit = time.time() - days * DAY
    for path in base.glob("*.lock"):
        if _used(path) > limit or path.stem == "mirror":
            continue
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        path.unlink(missing_ok=True)
        lock.release()
        removed.append(path.with_suffix(""))
    for folder in checkpoints.glob(TRAIN_KEY):
        if _used(folder) <= limit:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    for path in (base / "cache").rglob("*"):
        with suppress(FileNotFoundError):  # another worker was faster
            if path.is_file() and path.stat().st_mtime <= limit:
                path.unlink()
    if removed:
        _git("worktree", "prune", folder=base / "mirror.git", check=False)
    return removed


def has_password(address: str) -> bool:
    """Whether an address holds a password or a token; the name in ssh://git@host/path is none."""
    return re.search(r"://[^/@]*:[^/@]*@|^https?://[^/@]+@", address) is not None


def _used(path: Path) -> float:
    """When a path was used last; now if another worker has deleted it meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _base(repository: str) -> Path:
    root = Path(os.environ.get(VARIABLE) or DEFAULT_ROOT)
    if not root.is_absolute():
        raise UserError(f"${VARIABLE} is {root}, which means another folder from each place; give it from / on")
    name = re.sub(r"\W+", "-", Path(repository).name.removesuffix(".git"))
    return root / f"{name}-{hashlib.sha256(repository.encode()).hexdigest()[:8]}"


def _fetched(repository: str) -> Path:
    """The mirror of a repository, up to date."""
    base = _base(repository)
    base.mkdir(parents=True, exist_ok=True)
    mirror = base / "mirror.git"
    with FileLock(base / "mirror.lock"):
        if mirror.exists():
            _git("fetch", "--prune", "--quiet", "origin", folder=mirror)
        else:
            with atomic_write(mirror) as temporary:
                _git("clone", "--mirror", "--quiet", repository, str(temporary), folder=base)
    return mirror


def _free_slot(base: Path, role: str) -> FileLock:
    """The lock, held, of the first worktree of this role in which nobody works."""
    for number in count():
        lock = FileLock(base / f"{role}-{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock
    raise AssertionError


def _prepare(folder: Path, pinned: Pinned) -> None:
    """Make `folder` a worktree of what is pinned, unless it is one already."""
    state = json.dumps(asdict(pinned))
    marker = folder / PINNED
    # Whoever worked here before is gone, for we hold the lock; so are the locks that they may have left.
    (folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    if marker.exists() and marker.read_text(encoding="utf-8") == state:
        return
    marker.unlink(missing_ok=True)
    base = folder.parent
    mirror = base / "mirror.git"
    if not mirror.exists() or not _git("cat-file", "-t", pinned.commit, folder=mirror, check=False):
        _fetched(pinned.repository)
    with FileLock(base / "mirror.lock"):
        if not folder.exists() or not _git("rev-parse", "--is-inside-work-tree", folder=folder, check=False):
            shutil.rmtree(folder, ignore_errors=True)
            _git("worktree", "prune", folder=mirror)
            _git("worktree", "add", "--quiet", "--detach", str(folder), pinned.commit, folder=mirror)
    Path(_git("rev-parse", "--absolute-git-dir", folder=folder), "index.lock").unlink(missing_ok=True)
    _git("checkout", "--quiet", "--force", "--detach", pinned.commit, folder=folder)
    _git("clean", "--quiet", "--force", "-d", folder=folder)
    _configure(folder, pinned.settings)
    marker.parent.mkdir(exist_ok=True)
    with atomic_write(marker) as path:
        path.write_text(state, encoding="utf-8")


def _configure(folder: Path, settings: Sequence[str]) -> None:
    """Set the parameters, and share DVC's cache and the checkpoints with the other worktrees of this worker."""
    params = folder / PARAMS
    kept = Path(value_of(params, CHECKPOINT_DIR))  # as it stands, where it is a place that several workers share
    shared = folder.parent / "checkpoints"
    own = [] if kept.is_absolute() else [f'{CHECKPOINT_DIR}="{shared}"']
    params.write_text(with_values(params, [*own, *settings]), encoding="utf-8")
    (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {folder.parent / 'cache'}\n", encoding="utf-8")


def _git(*words: str, folder: Path, check: bool = True) -> str:
    """What git says in `folder`; if it fails, an empty string where it need not succeed, else GitError."""
    ceiling = folder.parent if folder.suffix == ".git" else folder.parent.parent
    finished = subprocess.run(
        ["git", *words],
        cwd=folder,
        # Never the repository that we may lie in; and never a question that nobody answers.
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(ceiling), "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 0:
        return finished.stdout.strip()
    if not check:
        return ""
    raise GitError(f"git {words[0]} failed: {without_password(finished.stderr.strip())}")
