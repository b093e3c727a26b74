"""Hand-over between machines by DVC: what others computed is fetched and restored, what was computed here is pushed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.checkout.dvc import How, reproduce
from pipeline.checkout.status import stage_states
from stages.errors import UserError, first_line

CONSTRAINTS = Path("constraints.txt")
SHOWN_DIFFERENCES = 5


class TransferError(Exception):
    """The DVC remote did not take or give something; trying again may help."""


def fetch() -> None:
    """Fetch the run cache, and the data that `dvc add` tracks, from the remote."""
    from dvc.repo import Repo

    with _named("fetch from"), Repo() as repo:
        repo.stage_cache.pull(None)
        tracked = [stage.addressing for stage in repo.index.stages if stage.is_data_source]
        if tracked:
            repo.pull(targets=tracked)


def push(stage: str) -> None:
    """Push what a stage made, and the run cache."""
    from dvc.repo import Repo

    with _named("push to"), Repo() as repo:
        repo.push(targets=[stage], run_cache=True)


def restored(stage: str) -> How | None:
    """Have the outputs of a stage here without running it, and how; None if nobody has made them yet.

    What the stages before it make must be here.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage.cache import RunCacheNotFoundError

    if next(state for state in stage_states() if state.name == stage).fresh:
        return "fresh"
    with _named("restore from"), Repo() as repo:
        (found,) = repo.stage.collect(stage)
        try:
            with repo.lock:
                repo.stage_cache.restore(found, pull=True)
        except RunCacheNotFoundError:
            return None
        except DvcException as error:
            raise TransferError(f"DVC: {first_line(error)}") from error
    return reproduce(stage, on_line=lambda _: None, on_progress=lambda _: None)  # which only writes dvc.lock


def check_environment() -> None:
    """UserError unless what is installed here is what constraints.txt pins: other versions may make other bytes."""
    if not CONSTRAINTS.exists():
        return
    differences = []
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        name, pinned, wanted = line.partition("#")[0].strip().partition("==")
        try:
            found = version(name) if pinned else wanted
        except PackageNotFoundError:
            continue  # of an extra that this worker does not have
        if found.partition("+")[0] != wanted.partition("+")[0]:
            differences.append(f"{name} {found} instead of {wanted}")
    if differences:
        more = f" and {len(differences) - SHOWN_DIFFERENCES} more" if len(differences) > SHOWN_DIFFERENCES else ""
        raise UserError(
            f"this worker's environment is not the commit's: {', '.join(differences[:SHOWN_DIFFERENCES])}{more}. "
            "Update the worker: in its checkout, `git pull && make install`, then start it again."
        )


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn what DVC, a file system or a cloud's library raises into a TransferError."""
    from dvc.config import NoRemoteError

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of what nobody has made yet, which is as it should be
    try:
        yield
    except (UserError, TransferError):
        raise
    except NoRemoteError:
        raise UserError(
            "there is no DVC remote, by which workers hand data over: `dvc remote add --default NAME URL`, commit, push"
        ) from None
    except Exception as error:  # each kind of remote has its own
        raise TransferError(f"cannot {what} the DVC remote: {first_line(error)}") from error
