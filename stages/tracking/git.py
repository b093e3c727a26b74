"""Calls git: the state of this checkout, and commands for whoever works with repositories.

That git says no, and that it could not answer, are two things: a call names the exit codes by which git says no, and
every other failure is an error with git's own words.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.errors import UserError, without_password

LOCK = "dvc.lock"
PARAMS = "params.yaml"
NO_REVISION = (1,)  # the exit code of `rev-parse --verify --quiet` if there is no such revision
# With these, which git sets for hooks, it would use another repository or index than those of the folder.
REDIRECTIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE")


@dataclass(frozen=True)
class GitState:
    """The commit of a checkout, whether tracked files differ from it, and the address of origin.

    Without a commit, `dirty` is None and `reason` says why there is none.
    """

    commit: str | None
    dirty: bool | None
    remote: str | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields for JSON, without `reason` where it is None."""
        return {key: value for key, value in asdict(self).items() if value is not None or key != "reason"}


def git(
    *arguments: str,
    folder: Path | None = None,
    stdin: bytes | None = None,
    variables: Mapping[str, str] | None = None,
    empty_on: Collection[int] = (),
) -> bytes:
    """Run git in the repository of `folder`, with `variables` added to the environment, and return what it prints.

    The exit codes in `empty_on` mean no, and give empty output; with any other failure, UserError with git's message.
    No hook runs: the user's hooks, such as those of DVC, are meant for the user's own commands.
    """
    command = ["git", "-c", f"core.hooksPath={os.devnull}", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in REDIRECTIONS} | dict(variables or {})
    try:
        finished = subprocess.run(command, cwd=folder, input=stdin, env=environment, capture_output=True, check=False)
    except FileNotFoundError as error:
        if error.filename != command[0]:
            raise  # it is the folder that does not exist
        raise UserError(f"git {arguments[0]} failed: git is not installed") from None
    if finished.returncode == 0:
        return finished.stdout
    if finished.returncode in empty_on:
        return b""
    raise UserError(f"git {arguments[0]} failed: {finished.stderr.decode('utf-8', 'replace').strip()}")


def git_text(
    *arguments: str,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    empty_on: Collection[int] = (),
) -> str:
    """As `git`, with the output decoded and stripped of surrounding white space."""
    return os.fsdecode(git(*arguments, folder=folder, variables=variables, empty_on=empty_on)).strip()


def has_commit(commit: str) -> bool:
    """Whether the repository of the working directory has this commit."""
    return bool(git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", empty_on=NO_REVISION))


def origin(folder: Path | None = None) -> str | None:
    """The address of the remote origin of the repository of `folder`; None if it has none."""
    has_origin = "origin" in git_text("remote", folder=folder).splitlines()
    return git_text("remote", "get-url", "origin", folder=folder) if has_origin else None


def why_no_commit() -> str | None:
    """Why the working directory has no commit: without git, without a repository, before the first commit.

    None if it has one. UserError if git cannot tell, such as in a checkout that belongs to another user.
    """
    reason = why_no_repository()
    if reason:
        return reason
    is_branch = git("symbolic-ref", "--quiet", "HEAD", empty_on=(1,))
    if is_branch and not git("rev-parse", "--verify", "--quiet", "HEAD", empty_on=NO_REVISION):
        return "the git repository has no commit yet"
    return None


def git_state() -> GitState:
    """The state of the checkout in the working directory; UserError if git cannot tell.

    No pipeline's dvc.lock or params.yaml makes it dirty: a run changes them, and the lineage record holds them in full.
    The address of the remote is without a password.
    """
    try:
        reason = why_no_commit()
        if reason:
            return GitState(None, None, None, reason)
        commit, remote = git_text("rev-list", "--max-count=1", "HEAD"), origin()
        dirty = bool(git("diff", "--name-only", "HEAD", *_paths_of_diff()))
    except UserError as error:
        raise UserError(f"the commit of {Path.cwd()}, which is recorded with a model, is not known: {error}") from None
    return GitState(commit, dirty, remote and without_password(remote))


def git_diff(untracked: Iterable[str]) -> bytes:
    """The patch for `git apply --binary` that turns the commit into the current files, including these untracked ones.

    As in `git_state`, dvc.lock and params.yaml are left out. Empty if nothing differs or git has no commit.
    """
    if why_no_commit():
        return b""
    with tempfile.TemporaryDirectory() as folder:
        # A copy of the index, so that untracked files can be added without a trace in the user's.
        index = Path(folder) / "index"
        own = Path(git_text("rev-parse", "--git-path", "index"))
        if own.exists():  # not before the first `git add`
            shutil.copyfile(own, index)
        variables = {"GIT_INDEX_FILE": str(index)}
        names = list(untracked)
        if names:
            git("add", "--intent-to-add", "--", *names, variables=variables)
        # Options that override the user's configuration of diff, so that the patch can be applied.
        fixed = ["--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3"]
        return git("diff", "--binary", "--full-index", *fixed, "HEAD", *_paths_of_diff(), variables=variables)


def untracked_files(*paths: str) -> list[str]:
    """The files at or below these paths that git neither tracks nor ignores."""
    return _list_files(paths, "--others", "--exclude-standard")


def tracked_files(*paths: str) -> list[str]:
    """The files at or below these paths that git tracks."""
    return _list_files(paths, "--cached")


def _list_files(paths: Iterable[str], *options: str) -> list[str]:
    if why_no_repository():
        return []
    listed = git("ls-files", "-z", *options, "--", *paths)
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def why_no_repository() -> str | None:
    """Why there is no repository; None if there is a `.git`, which git may still refuse to use."""
    if shutil.which("git") is None:
        return "git is not installed"
    here = Path.cwd()
    if not any(os.path.lexists(folder / ".git") for folder in (here, *here.parents)):
        return "the project is in no git repository"
    return None


def _paths_of_diff() -> list[str]:
    return ["--", ".", *(f":(exclude,glob)**/{name}" for name in (LOCK, PARAMS))]
