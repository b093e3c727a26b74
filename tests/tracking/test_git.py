"""How git is called; test_lineage_record.py has the state of a checkout and its patch."""

from pathlib import Path

import pytest

from stages.errors import UserError
from stages.tracking.git import GitState, git, git_state, git_text, has_commit


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository with one commit."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    git("commit", "--quiet", "--allow-empty", "--message", "start")
    return tmp_path


def test_a_failure_is_an_error_with_the_message_of_git_or_empty_output(repository: Path) -> None:
    with pytest.raises(UserError, match=r"^git rev-parse failed: fatal: "):
        git("rev-parse", "--verify", "nothing^{commit}")
    assert git("rev-parse", "--verify", "nothing^{commit}", check=False) == b""


def test_no_hook_runs(repository: Path) -> None:
    hook = repository / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    git("checkout", "--quiet", "-b", "other")
    assert not (repository / "ran").exists()


def test_folder_input_and_variables_are_those_of_the_call(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    blob = git("hash-object", "-w", "--stdin", folder=repository, stdin=b"\xff\n").decode().strip()
    assert git("cat-file", "blob", blob, folder=repository) == b"\xff\n"
    author = git_text("var", "GIT_AUTHOR_IDENT", folder=repository, variables={"GIT_AUTHOR_NAME": "Anna"})
    assert author.startswith("Anna <")
    with pytest.raises(FileNotFoundError):
        git("status", folder=repository / "missing")


def test_has_commit_means_a_commit(repository: Path) -> None:
    assert has_commit(git_text("rev-parse", "HEAD"))
    assert not has_commit(git_text("rev-parse", "HEAD^{tree}"))
    assert not has_commit("f" * 40)


def test_without_git_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() == GitState(commit=None, dirty=False, remote=None)
    with pytest.raises(UserError, match="git init failed: git is not installed"):
        git("init")
