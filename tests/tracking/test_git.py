"""How git is called; test_lineage_record.py has the state of a checkout and its patch."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.errors import UserError
from stages.tracking.environment import current_execution
from stages.tracking.git import GitState, git, git_diff, git_state, git_text, has_commit, origin, tracked_files


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository with one commit."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    git("commit", "--quiet", "--allow-empty", "--message", "start")
    return tmp_path


def test_a_failure_is_an_error_with_the_message_of_git_unless_its_exit_code_means_no(repository: Path) -> None:
    with pytest.raises(UserError, match=r"^git rev-parse failed: fatal: "):
        git("rev-parse", "--verify", "nothing^{commit}", empty_on=(1,))
    assert git("rev-parse", "--verify", "--quiet", "nothing^{commit}", empty_on=(1,)) == b""


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


def test_a_repository_may_have_an_origin(repository: Path) -> None:
    assert origin() is None
    git("remote", "add", "origin", "git@example.org:ner.git")
    assert origin(repository) == "git@example.org:ner.git"


def test_the_repository_is_that_of_the_folder_whatever_git_was_told(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git_text("rev-parse", "HEAD")
    other = tmp_path_factory.mktemp("other")
    git("init", "--quiet", folder=other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as git sets it for hooks
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    assert git_state() == GitState(commit, dirty=False, remote=None)


def assume_another_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # a switch of git for its own tests


def empty_head(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".git/HEAD").write_bytes(b"")


def empty_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".git/refs/heads/main").write_bytes(b"")


def lose_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".git/refs/heads/main").write_text("4" * 40)


def damage_index(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".git/index").write_bytes(bytes(40))


def move_main_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    git("worktree", "add", "--quiet", "--detach", "linked")
    Path(".git").rename("moved")
    monkeypatch.chdir("linked")


def lose_superproject(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".git").rename("moved")
    Path(".git").write_text("gitdir: ../.git/modules/ner\n")  # as in a submodule


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (assume_another_owner, "detected dubious ownership in repository at"),
        (empty_head, "not a git repository"),
        (empty_branch, "No such ref: HEAD"),
        (lose_commit, "bad object HEAD"),
        (damage_index, "bad signature"),
        (move_main_repository, "not a git repository: "),
        (lose_superproject, "not a git repository: "),
    ],
)
def test_a_repository_that_git_cannot_use_is_not_one_without_a_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[pytest.MonkeyPatch], None], words: str
) -> None:
    damage(monkeypatch)
    with pytest.raises(UserError, match=f"git .* failed: .*{words}"):
        git_state()
    execution = current_execution()  # at the end of a training run, which must not be lost
    assert (execution.commit, execution.dirty) == (None, None)
    assert words in (execution.reason or "")


def test_the_remedy_of_git_for_another_owner_is_told_and_works(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    commit = git_text("rev-parse", "HEAD")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    assume_another_owner(monkeypatch)
    with pytest.raises(UserError, match=r"git config --global --add safe.directory") as refusal:
        git_state()
    for question in (lambda: has_commit(commit), tracked_files, origin, lambda: git_diff([])):
        with pytest.raises(UserError, match="dubious ownership"):
            question()
    remedy = str(refusal.value).splitlines()[-1].split()
    git(*remedy[1:])
    assert git_state() == GitState(commit, dirty=False, remote=None)


def no_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))


def no_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pass


def no_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (no_git, "git is not installed"),
        (no_repository, "the project is in no git repository"),
        (no_commit, "the git repository has no commit yet"),
    ],
)
def test_without_a_commit_the_state_has_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path, pytest.MonkeyPatch], None], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path, monkeypatch)
    assert git_state() == GitState(commit=None, dirty=None, remote=None, reason=reason)
    assert git_diff([]) == b""
    assert tracked_files("data") == []
    assert current_execution().reason == reason


def test_without_git_a_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git init failed: git is not installed"):
        git("init")
