"""Calls git: the state of this checkout, and commands for whoever works with repositories."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.errors import UserError

LOCK = "dvc.lock"
PARAMS = "params.yaml"
NOT_INSTALLED = 127


@dataclass(frozen=True)
class GitState:
    """The commit of a checkout (None if git has none), whether tracked files differ from it, the address of origin."""

    commit: str | None
    dirty: bool
    remote: str | None


def git(
    *arguments: str,
    folder: Path | None = None,
    stdin: bytes | None = None,
    variables: Mapping[str, str] | None = None,
    check: bool = True,
) -> bytes:
    """Run git in `folder`, with `variables` added to the environment, and return what it prints.

    UserError with git's message if it fails; without `check`, empty output instead. No hook runs: the user's hooks,
    such as those of DVC, are meant for the user's own commands.
    """
    command = ["git", "-c", f"core.hooksPath={os.devnull}", *arguments]
    environment = {**os.environ, **(variables or {})}
    try:
        finished = subprocess.run(command, cwd=folder, input=stdin, env=environment, capture_output=True, check=False)
    except FileNotFoundError as error:
        if error.filename != command[0]:
            raise  # it is the folder that does not exist
        finished = subprocess.CompletedProcess(command, NOT_INSTALLED, b"", b"git is not installed")
    if finished.returncode == 0:
        return finished.stdout
    if check:
        raise UserError(f"git {arguments[0]} failed: {finished.stderr.decode('utf-8', 'replace').strip()}")
    return b""


def git_text(
    *arguments: str, folder: Path | None = None, variables: Mapping[str, str] | None = None, check: bool = True
) -> str:
    """As `git`, with the output decoded and stripped of surrounding white space."""
    return os.fsdecode(git(*arguments, folder=folder, variables=variables, check=check)).strip()


def has_commit(commit: str) -> bool:
    """Whether the repository of the working directory has this commit."""
    return bool(git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", check=False))


def git_state() -> GitState:
    """The state of the checkout in the working directory.

    dvc.lock and params.yaml do not make it dirty: a run changes them, and the lineage record holds them in full. The
    address of the remote is without a password.
    """
    commit = git_text("rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False) or None
    remote = git_text("remote", "get-url", "origin", check=False)
    dirty = bool(commit and git("diff", "--name-only", "HEAD", *_paths_of_diff()))
    return GitState(commit, dirty, without_password(remote) or None)


def git_diff(untracked: Iterable[str]) -> bytes:
    """The patch for `git apply --binary` that turns the commit into the current files, including these untracked ones.

    As in `git_state`, dvc.lock and params.yaml are left out. Empty if nothing differs or git has no commit.
    """
    if git_state().commit is None:
        return b""
    with tempfile.TemporaryDirectory() as folder:
        # A copy of the index, so that untracked files can be added without a trace in the user's.
        index = Path(folder) / "index"
        shutil.copyfile(git_text("rev-parse", "--git-path", "index"), index)
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


def without_password(address: str) -> str:
    """An address with its user name and password masked, for messages."""
    return re.sub(r"(?<=://)[^/@]*@", "***@", address)


def _list_files(paths: Iterable[str], *options: str) -> list[str]:
    listed = git("ls-files", "-z", *options, "--", *paths, check=False)
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _paths_of_diff() -> list[str]:
    return ["--", ".", f":(exclude){LOCK}", f":(exclude){PARAMS}"]
