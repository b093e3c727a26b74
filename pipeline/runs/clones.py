"""The clones that a worker keeps and reuses: worktrees at the commit and with the parameters of a run.

$TUNELINE_WORKSPACES/<repository>-<digest of its address>/
    mirror.git       a bare mirror of the repository
    cache/           DVC's cache, shared by the worktrees
    checkpoints/     of training runs, shared by the worktrees
    train-0/         a worktree; the process that works in it holds train-0.lock beside it
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.checkout.layout import CHECKPOINT_DIR, PARAMS, TRAIN_KEY_GLOB
from pipeline.checkout.new_pipeline import declare_older_corpora
from pipeline.checkout.params_file import apply_settings, read_value
from stages.artifacts import atomic_write
from stages.errors import UserError, without_password
from stages.tracking.git import NO_REVISION, git_text

VARIABLE = "TUNELINE_WORKSPACES"
DEFAULT_ROOT = Path(__file__).parents[2] / ".tuneline/workspaces"
SPEC_FILE = Path(".tuneline/pinned.json")  # in a worktree that is ready: the RunSpec that it was prepared for
DAY = 86400
UNUSABLE = (128,)  # the exit code for a commit or a repository that git cannot use: fetched or made again


class GitError(Exception):
    """Git failed, for example because a server did not answer; a retry may succeed."""


@dataclass(frozen=True)
class RunSpec:
    """The exact inputs of a run, the same for all its workers: a commit, a pipeline, and settings of its params.yaml.

    `pipeline` is its folder, from the root of the repository.
    """

    repository: str
    commit: str
    settings: list[str] = field(default_factory=list)
    pipeline: str = "."


def resolve_commit(repository: str, revision: str) -> str:
    """Resolve a branch, tag or commit to the commit that it names now; UserError if the repository has none."""
    mirror = _update_mirror(repository)
    for name in (f"refs/heads/{revision}", revision):
        commit = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", folder=mirror, empty_on=NO_REVISION)
        if commit:
            return commit
    raise UserError(f"{without_password(repository)} has no branch, tag or commit {revision!r}")


@contextmanager
def workspace(spec: RunSpec, role: str) -> Iterator[Path]:
    """Provide a worktree for this run, locked for this process; an unlocked one of the same role is reused.

    A reused worktree keeps the outputs of stages. GitError if the commit cannot be fetched, UserError if the settings
    do not fit it.
    """
    base = _repository_folder(spec.repository)
    base.mkdir(parents=True, exist_ok=True)
    lock = _lock_worktree(base, role)
    try:
        folder = Path(lock.lock_file).with_suffix("")
        _prepare(folder, spec)
        yield folder
    finally:
        os.utime(lock.lock_file)  # remove_unused reads from it when the worktree was last used
        lock.release()


def remove_unused(repository: str, checkpoints: Path, *, days: int) -> list[Path]:
    """Delete the worktrees of `repository` and the checkpoints that were not used for `days`; return their paths.

    Files of DVC's cache that are as old are deleted too, but not returned: the remote has them.
    """
    base, removed = _repository_folder(repository), []
    limit = time.time() - days * DAY
    for path in base.glob("*.lock"):
        if _last_used(path) > limit or path.stem == "mirror":
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
    for folder in checkpoints.glob(TRAIN_KEY_GLOB):
        if _last_used(folder) <= limit:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    for path in (base / "cache").rglob("*"):
        with suppress(FileNotFoundError):  # another worker has deleted it
            if path.is_file() and path.stat().st_mtime <= limit:
                path.unlink()
    if removed:
        with suppress(GitError):  # the next worktree that is made prunes as well
            _git("worktree", "prune", folder=base / "mirror.git")
    return removed


def has_password(address: str) -> bool:
    """Whether an address contains a password or a token; the user name in ssh://git@host/path is neither."""
    return re.search(r"://[^/@]*:[^/@]*@|^https?://[^/@]+@", address) is not None


def _last_used(path: Path) -> float:
    """The time of the last use of a path; the current time if another worker has deleted it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _repository_folder(repository: str) -> Path:
    root = Path(os.environ.get(VARIABLE) or DEFAULT_ROOT)
    if not root.is_absolute():
        raise UserError(f"${VARIABLE} is {root}, a relative path; set it to an absolute one")
    name = re.sub(r"\W+", "-", Path(repository).name.removesuffix(".git"))
    return root / f"{name}-{hashlib.sha256(repository.encode()).hexdigest()[:8]}"


def _update_mirror(repository: str) -> Path:
    """Create or fetch the mirror of a repository, and return its folder."""
    base = _repository_folder(repository)
    base.mkdir(parents=True, exist_ok=True)
    mirror = base / "mirror.git"
    with FileLock(base / "mirror.lock"):
        if mirror.exists():
            _git("fetch", "--prune", "--quiet", "origin", folder=mirror)
        else:
            with atomic_write(mirror) as temporary:
                _git("clone", "--mirror", "--quiet", repository, str(temporary), folder=base)
    return mirror


def _lock_worktree(base: Path, role: str) -> FileLock:
    """Acquire and return the lock of the first worktree of this role that no process has locked."""
    for number in count():
        lock = FileLock(base / f"{role}-{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock
    raise AssertionError


def _prepare(folder: Path, spec: RunSpec) -> None:
    """Make `folder` a worktree for this run, unless it is one already."""
    state = json.dumps(asdict(spec))
    marker = folder / SPEC_FILE
    # This process holds the worktree's lock, so any other lock in it was left by a process that is gone.
    (folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    if marker.exists() and marker.read_text(encoding="utf-8") == state:
        return
    marker.unlink(missing_ok=True)
    base = folder.parent
    mirror = base / "mirror.git"
    if not mirror.exists() or not _git("cat-file", "-t", spec.commit, folder=mirror, empty_on=UNUSABLE):
        _update_mirror(spec.repository)
    with FileLock(base / "mirror.lock"):
        if not folder.exists() or not _git("rev-parse", "--is-inside-work-tree", folder=folder, empty_on=UNUSABLE):
            shutil.rmtree(folder, ignore_errors=True)
            _git("worktree", "prune", folder=mirror)
            _git("worktree", "add", "--quiet", "--detach", str(folder), spec.commit, folder=mirror)
    Path(_git("rev-parse", "--absolute-git-dir", folder=folder), "index.lock").unlink(missing_ok=True)
    _git("checkout", "--quiet", "--force", "--detach", spec.commit, folder=folder)
    _git("clean", "--quiet", "--force", "-d", folder=folder)
    _configure(folder, spec)
    marker.parent.mkdir(exist_ok=True)
    with atomic_write(marker) as path:
        path.write_text(state, encoding="utf-8")


def _configure(folder: Path, spec: RunSpec) -> None:
    """Apply the settings; configure the DVC cache and the checkpoint folder that this worker's worktrees share."""
    params = folder / spec.pipeline / PARAMS
    if not params.exists():
        raise UserError(f"commit {spec.commit[:12]} has no pipeline in {spec.pipeline}: commit the folder and push it")
    checkpoint_dir = Path(read_value(params, CHECKPOINT_DIR))  # an absolute path is one that several workers share
    shared = folder.parent / "checkpoints"
    own = [] if checkpoint_dir.is_absolute() else [f'{CHECKPOINT_DIR}="{shared}"']
    params.write_text(apply_settings(params, [*own, *spec.settings]), encoding="utf-8")
    declare_older_corpora(params.parent)
    (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {folder.parent / 'cache'}\n", encoding="utf-8")


def _git(*words: str, folder: Path, empty_on: Collection[int] = ()) -> str:
    """`git_text` in a repository of this module, with GitError in place of UserError."""
    ceiling = folder.parent if folder.suffix == ".git" else folder.parent.parent
    # Never use a repository around `folder`, and never wait for an answer at a terminal.
    variables = {"GIT_CEILING_DIRECTORIES": str(ceiling), "GIT_TERMINAL_PROMPT": "0"}
    try:
        return git_text(*words, folder=folder, variables=variables, empty_on=empty_on)
    except UserError as error:
        raise GitError(without_password(str(error))) from None
