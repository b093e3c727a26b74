"""What keeps DVC from reading a checkout, in words that say what to do: no repository, marks of a merge conflict."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.checkout.layout import DAG, LOCK, PARAMS, find_pipelines
from stages.errors import UserError, explain_encoding, first_line, list_faults
from stages.tracking.git import git, tracked_files, why_no_repository

REWRITTEN = "then `tuneline run` writes it again; what DVC's run cache has does not run again"


@contextmanager
def explain_dvc_errors() -> Iterator[None]:
    """Raise each error of DVC as a UserError; if it has a known cause in the checkout, with what to do about it."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.scm import SCMError

    try:
        yield
    except LockError as error:
        raise UserError(f"Another run holds this checkout: {error}") from None
    except UnicodeEncodeError as error:
        raise UserError(explain_encoding(error)) from None
    except FileNotFoundError as error:
        if not Path(error.filename or "").is_symlink():
            raise
        raise UserError(
            f"{error.filename} is a link into DVC's cache as it was before the project or the cache was moved. "
            "`dvc checkout --relink` makes the links again."
        ) from None
    except (DvcException, AssertionError, RecursionError) as error:  # the last: a section that contains itself
        if isinstance(error, NotDvcRepoError | SCMError):
            _refuse_missing_repository()
        _refuse_conflicts()
        damaged = next((lock for folder in find_pipelines() if str(lock := folder / LOCK) in str(error)), None)
        if damaged:
            remedy = f"`git checkout {damaged}` brings it back; or delete it, {REWRITTEN}"
            raise UserError(f"DVC: {first_line(error)}. {remedy}") from error
        from pipeline.checkout.params_file import check_params

        check_params()  # a value that dvc.yaml needs may be the cause
        raise UserError(f"DVC: {first_line(error)}") from error


def require_repository() -> None:
    """UserError if DVC cannot work in this checkout."""
    from dvc.repo import Repo

    with explain_dvc_errors(), Repo():
        pass


def _refuse_missing_repository() -> None:
    """UserError if DVC or git has no repository here, as in a source archive, or git cannot use the one there is."""
    if not Path(".dvc").is_dir():
        raise UserError(
            f"{Path.cwd()} has no folder .dvc, so DVC cannot work in it: were hidden files left out when it was "
            "copied? `git clone` the project, or copy it again with them."
        )
    if why_no_repository() is None:
        git("rev-parse", "--git-dir")
        return
    raise UserError(
        f"{Path.cwd()} is in no git repository, as a source archive is, and DVC needs one. `git clone` the project; or "
        "begin a history of your own here: `git init && git add --all && git commit --message start`. Then run again."
    )


def _refuse_conflicts() -> None:
    """UserError if merges have left their marks in files that DVC reads: all of them, and what to do about each."""
    from stages.params import find_conflict

    faults = []
    for path in _versioned_files():
        line = find_conflict(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
        if line:
            faults.append(f"{path}:{line}: {_advise(path)}")
    if faults:
        raise UserError(list_faults("a merge has left marks of its conflicts; for each file:", faults))


def _versioned_files() -> list[Path]:
    """The files in which DVC keeps what this project consists of."""
    dvc_files: list[str] = []
    with suppress(UserError):
        dvc_files = tracked_files("*.dvc")
    own = [str(folder / name) for folder in find_pipelines() for name in (LOCK, DAG, PARAMS)]
    # git lists a file that has a conflict once for each side.
    return [Path(name) for name in dict.fromkeys([".dvc/config", *own, *dvc_files])]


def _advise(path: Path) -> str:
    is_unmerged = False
    with suppress(UserError):
        is_unmerged = bool(git("ls-files", "--unmerged", "--", str(path)))
    if path.name == LOCK.name:
        if is_unmerged:
            return f"`git checkout --ours {path}` (or --theirs), then `tuneline run` brings it up to date"
        return f"delete it, {REWRITTEN}"
    if path.suffix == ".dvc" and is_unmerged:
        return f"`git checkout --ours {path}` (or --theirs), then `dvc checkout {path}`"
    return "keep the lines that you want; delete the others and the marks"
