"""What nothing reaches any more: versions, runs and uploads in MLflow, files in DVC's cache, checkpoints, leftovers.

What an alias, an entry of a ledger or a dvc.lock reaches stays, and all that it needs; dvc.lock files count in every
commit and in every worktree. So does what this repository cannot judge: versions and runs of commits that it does not
have, of other tools; runs and uploads of the last day. The DVC remote and DVC's run cache are left alone: the one is
for everybody, the other is small, and leads to what the remote may have.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.checkout.git import git
from pipeline.checkout.locks import checkout_lock, is_dvc_running
from pipeline.cleanup import file_garbage, mlflow_garbage
from pipeline.cleanup.garbage import DIGEST, OF_MLFLOW, Garbage
from stages.errors import UserError, first_line

DVC_FILES = (":(top)*dvc.lock", ":(top)*.dvc")
YOUNG = timedelta(days=1)


@contextmanager
def undisturbed(on_wait: Callable[[str], None]) -> Iterator[None]:
    """Within, neither `tuneline run`, which is waited for, nor DVC changes this checkout.

    UserError if a DVC that somebody called by hand is at work.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo

    with checkout_lock(on_wait), Repo() as repo:
        try:
            repo.lock.lock()
        except LockError as error:
            raise UserError(f"DVC is at work here, so nothing was deleted: {first_line(error)}") from None
        try:
            if is_dvc_running():
                raise UserError("a stage of `dvc repro` runs here, so nothing was deleted; wait for its end")
            yield
        finally:
            repo.lock.unlock()


def unreached(*, now: datetime, on_line: Callable[[str], None] = lambda _: None) -> list[Garbage]:
    """All that nothing reaches, in the order in which it can be removed; nothing is changed.

    `on_line` is told what could not be judged, and so stays. RegistryError if MLflow is away; UserError if git does
    not know all commits, or if a version that stays does not tell any more what it needs.
    """
    limit = (now - YOUNG).timestamp()
    named = _named()
    found, needed = mlflow_garbage.in_mlflow(named, limit, on_line)
    return [
        *found,
        *file_garbage.in_cache(named | needed, on_line),
        *file_garbage.checkpoints(limit),
        *file_garbage.leftovers(),
    ]


def remove(garbage: Garbage) -> None:
    """Delete something that `unreached` has found, within `undisturbed`; in MLflow as MLflow does, which keeps files.

    UserError if it is a version that an alias or a ledger has come to name since then.
    """
    room = mlflow_garbage if garbage.kind in OF_MLFLOW else file_garbage
    room.delete(garbage)


def _named() -> set[str]:
    """Every MD5 that a dvc.lock or a .dvc file names, in all commits and in all worktrees of this repository."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise UserError("this clone is shallow, so what older commits need is not known: `git fetch --unshallow` first")
    # Not `rev-list --objects`, which sees no file in a folder by such a pattern, nor `log`, which leaves out commits
    # that a merge took nothing of.
    commits = git("rev-list", "--all", "--reflog")  # a stash but the newest is in the reflog alone
    changes = git("diff-tree", "--stdin", "-r", "-m", "--root", "--no-renames", "--", *DVC_FILES, text=commits)
    blobs = {line.split()[3] for line in changes.splitlines() if line.startswith(b":")}
    texts = [git("cat-file", "--batch", text=b"\n".join(blobs))]
    for line in os.fsdecode(git("worktree", "list", "--porcelain")).splitlines():
        folder = Path(line.removeprefix("worktree "))
        if line.startswith("worktree ") and (folder / ".git").exists():
            texts += [path.read_bytes() for path in _dvc_files(folder) if path.is_file()]
    return {digest for text in texts for digest in DIGEST.findall(text.decode("utf-8", "replace"))}


def _dvc_files(worktree: Path) -> Iterator[Path]:
    """Those that are there, committed or not; none that git ignores, for DVC refuses to work with those."""
    for options in (["--cached"], ["--others", "--exclude-standard"]):
        listed = git("ls-files", "-z", *options, "--", *DVC_FILES, folder=worktree)
        yield from (worktree / os.fsdecode(name) for name in listed.split(b"\0") if name)
