"""Transfers stage outputs between machines through the DVC remote: fetch and restore them, or push them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pipeline.checkout.layout import stage_address
from stages.errors import UserError, first_line

CONSTRAINTS = Path("constraints.txt")
SHOWN_DIFFERENCES = 5


class TransferError(Exception):
    """A transfer from or to the DVC remote failed; a retry may succeed."""


def fetch() -> None:
    """Fetch the run cache, and the data that `dvc add` tracks, from the remote."""
    from dvc.repo import Repo

    with _translate_errors("fetch from"), Repo() as repo:
        repo.stage_cache.pull(None)
        tracked = [stage.addressing for stage in repo.index.stages if stage.is_data_source]
        if tracked:
            repo.pull(targets=tracked)


def push(stage: str) -> None:
    """Push the outputs of a stage, and the run cache, to the remote."""
    from dvc.repo import Repo

    with _translate_errors("push to"), Repo() as repo:
        repo.push(targets=[stage_address(stage)], run_cache=True)


def restore(stage: str) -> Literal["restored", "fresh"] | None:
    """Check out the outputs of a stage that was computed elsewhere and write its entry of dvc.lock; never run it.

    The stages upstream must be restored before, the run cache fetched. Returns "fresh" if the outputs are up to date,
    and None if the stage was never computed with its current dependencies.
    """
    from dvc.repo import Repo, lock_repo
    from dvc.stage.cache import RunCacheNotFoundError

    with _translate_errors("restore from"), Repo() as repo, lock_repo(repo):
        (found,) = repo.stage.collect(stage_address(stage))
        if not found.changed():
            return "fresh"
        found.remove_outs()  # DVC refuses to check out over files that are not in its cache
        try:
            repo.stage_cache.restore(found, pull=True)
        except RunCacheNotFoundError:
            return None
        # What `dvc repro` does after a stage has run.
        found.save()
        found.commit()
        found.dump(update_pipeline=False)
    return "restored"


def check_environment() -> None:
    """UserError unless the pinned versions of constraints.txt are installed: others may compute other bytes."""
    if not CONSTRAINTS.exists():
        return
    differences = []
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        name, pinned, required = line.partition("#")[0].strip().partition("==")
        try:
            installed = version(name) if pinned else required
        except PackageNotFoundError:
            continue  # a package of an extra that this worker does not have
        if installed.partition("+")[0] != required.partition("+")[0]:
            differences.append(f"{name} {installed} instead of {required}")
    if differences:
        more = f" and {len(differences) - SHOWN_DIFFERENCES} more" if len(differences) > SHOWN_DIFFERENCES else ""
        raise UserError(
            f"this worker's packages differ from those of the commit: {', '.join(differences[:SHOWN_DIFFERENCES])}"
            f"{more}. Update the worker: in its checkout, `git pull && make install`, then start it again."
        )


@contextmanager
def _translate_errors(action: str) -> Iterator[None]:
    """Raise any failure of DVC, a file system or a cloud's library as a TransferError; UserError without a remote."""
    from dvc.config import NoRemoteError
    from dvc.stage.cache import RunCacheNotSupported

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of outputs that nobody has computed, which is normal
    try:
        yield
    except (UserError, TransferError):
        raise
    except (NoRemoteError, RunCacheNotSupported) as error:
        raise UserError(
            f"no DVC remote through which workers can exchange data: {first_line(error)}. "
            "Add one with `dvc remote add --default NAME URL`, then commit and push."
        ) from None
    except Exception as error:  # each kind of remote has its own
        raise TransferError(f"cannot {action} the DVC remote: {first_line(error)}") from error
