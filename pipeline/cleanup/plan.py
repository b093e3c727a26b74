"""Finds and deletes what nothing uses: versions, runs and uploads in MLflow, cached files, checkpoints, leftovers.

Everything stays that an alias, an alias history or a dvc.lock refers to, with all that it needs; the dvc.lock files of
every commit and every worktree count. So does everything that this repository cannot judge: versions and runs of
unknown commits or of other tools, and runs and uploads of the last day. The DVC remote and DVC's run cache are never
cleaned up: others may use the remote, and the run cache is small and may lead to files of the remote.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.checkout.locks import checkout_lock, is_dvc_running
from pipeline.cleanup import file_garbage, mlflow_garbage
from pipeline.cleanup.garbage import DIGEST, MLFLOW_KINDS, Garbage
from stages.errors import UserError, first_line
from stages.tracking.git import git

DVC_FILES = (":(top)*dvc.lock", ":(top)*.dvc")
MIN_AGE = timedelta(days=1)


@contextmanager
def cleanup_lock(on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the locks of this checkout, so that neither `tuneline run`, which is waited for, nor DVC changes it.

    UserError if DVC was started by other means and is running.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo

    with checkout_lock(on_wait), Repo() as repo:
        try:
            repo.lock.lock()
        except LockError as error:
            raise UserError(f"DVC is running here, so nothing was deleted: {first_line(error)}") from None
        try:
            if is_dvc_running():
                raise UserError("a stage of `dvc repro` is running here, so nothing was deleted; wait for its end")
            yield
        finally:
            repo.lock.unlock()


def find_garbage(*, now: datetime, on_line: Callable[[str], None] = lambda _: None) -> list[Garbage]:
    """Everything that nothing uses, in the order in which it can be deleted; nothing is changed.

    `on_line` receives what cannot be judged, and so stays. RegistryError if MLflow does not answer; UserError if this
    repository lacks commits, or if the lineage of a version that stays cannot be read.
    """
    limit = (now - MIN_AGE).timestamp()
    referenced = _referenced_digests()
    found, needed = mlflow_garbage.find_in_mlflow(referenced, limit, on_line)
    return [
        *found,
        *file_garbage.find_in_cache(referenced | needed, on_line),
        *file_garbage.find_checkpoints(limit),
        *file_garbage.find_leftovers(),
        *file_garbage.find_fetched(),
    ]


def delete(garbage: Garbage) -> None:
    """Delete something that `find_garbage` returned, while holding `cleanup_lock`; MLflow only marks it as deleted.

    UserError if it is a version that an alias or an alias history refers to by now.
    """
    module = mlflow_garbage if garbage.kind in MLFLOW_KINDS else file_garbage
    module.delete(garbage)


def _referenced_digests() -> set[str]:
    """Every MD5 in a dvc.lock or .dvc file of any commit or worktree of this repository."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise UserError("this clone is shallow, so what older commits need is not known: `git fetch --unshallow` first")
    # `rev-list --objects` does not find files in folders by such a pattern, and `log` leaves out commits of which a
    # merge took nothing.
    commits = git("rev-list", "--all", "--reflog")  # older stashes are in the reflog only
    changes = git("diff-tree", "--stdin", "-r", "-m", "--root", "--no-renames", "--", *DVC_FILES, stdin=commits)
    blobs = {line.split()[3] for line in changes.splitlines() if line.startswith(b":")}
    texts = [git("cat-file", "--batch", stdin=b"\n".join(blobs))]
    for line in os.fsdecode(git("worktree", "list", "--porcelain")).splitlines():
        folder = Path(line.removeprefix("worktree "))
        if line.startswith("worktree ") and (folder / ".git").exists():
            texts += [path.read_bytes() for path in _dvc_files(folder) if path.is_file()]
    return {digest for text in texts for digest in DIGEST.findall(text.decode("utf-8", "replace"))}


def _dvc_files(worktree: Path) -> Iterator[Path]:
    """The dvc.lock and .dvc files of a worktree, tracked or not; not ignored ones, which DVC refuses to use."""
    for options in (["--cached"], ["--others", "--exclude-standard"]):
        listed = git("ls-files", "-z", *options, "--", *DVC_FILES, folder=worktree)
        yield from (worktree / os.fsdecode(name) for name in listed.split(b"\0") if name)
