"""Clones of workers, made by the real git from a real repository."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.runs import clones
from pipeline.runs.clones import GitError, Pinned, commit_of, remove_unused, workspace
from stages.errors import ParamsError, UserError

PARAMS = """train:
  epochs: 3  # of the first commit
runtime:
  checkpoint_dir: .checkpoints
"""


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, and a place for workspaces that lies inside another one, as a worker's own checkout does."""
    folder = tmp_path / "origin"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text("")
    (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n")
    (folder / ".gitignore").write_text("data/\n.tuneline/\n")
    (folder / "params.yaml").write_text(PARAMS)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    outer = tmp_path / "worker"
    outer.mkdir()
    git(outer, "init", "--quiet")
    (outer / "own.txt").write_text("of the worker")
    monkeypatch.setenv(clones.VARIABLE, str(outer / "workspaces"))
    return folder


def pinned(origin: Path, *settings: str, revision: str = "main") -> Pinned:
    return Pinned(str(origin), commit_of(str(origin), revision), list(settings))


def test_a_worktree_has_the_commit_the_settings_and_shared_places(origin: Path) -> None:
    with workspace(pinned(origin, "train.epochs=7"), "train") as folder:
        text = (folder / "params.yaml").read_text()
        assert "epochs: 7  # of the first commit" in text
        assert f'checkpoint_dir: "{folder.parent}/checkpoints"' in text
        assert (folder / ".dvc/config.local").read_text() == f"[cache]\n    dir = {folder.parent}/cache\n"
        assert git(folder, "rev-parse", "HEAD") == git(origin, "rev-parse", "HEAD")


def test_a_place_that_workers_share_stays_as_it_stands(origin: Path) -> None:
    with workspace(pinned(origin, "runtime.checkpoint_dir=/srv/checkpoints"), "train") as folder:
        assert "checkpoint_dir: /srv/checkpoints" in (folder / "params.yaml").read_text()


def test_the_same_is_used_again_with_all_that_was_made_in_it(origin: Path) -> None:
    same = pinned(origin)
    with workspace(same, "train") as first:
        (first / "data").mkdir()
        (first / "data/made").write_text("by a stage")
        (first / "params.yaml").write_text(f"{PARAMS}# touched\n")
    with workspace(same, "train") as again:
        assert again == first
        assert "touched" in (again / "params.yaml").read_text()
    with workspace(pinned(origin, "train.epochs=9"), "train") as other:
        assert other == first
        assert "touched" not in (other / "params.yaml").read_text()
        assert (other / "data/made").read_text() == "by a stage"


def test_two_at_once_work_in_two_and_a_new_commit_is_fetched(origin: Path) -> None:
    old = pinned(origin)
    (origin / "new.txt").write_text("new")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message", "second")
    git(origin, "tag", "v2")
    with workspace(old, "train") as one, workspace(pinned(origin, revision="v2"), "train") as two:
        assert one != two
        assert not (one / "new.txt").exists()
        assert (two / "new.txt").exists()
    with workspace(pinned(origin), "train") as folder:
        assert (folder, (folder / "new.txt").exists()) == (one, True)


def test_what_a_killed_worker_left_is_no_hindrance(origin: Path) -> None:
    same = pinned(origin)
    with workspace(same, "train") as folder:
        (folder / ".dvc/tmp").mkdir()
        (folder / ".dvc/tmp/rwlock").write_text('{"write": {"data": {"pid": 1, "cmd": "dvc repro"}}}')
        Path(git(folder, "rev-parse", "--absolute-git-dir"), "index.lock").write_text("")
        (folder / "stray.txt").write_text("stray")
        (folder / clones.PINNED).unlink()  # killed before it was ready
    with workspace(same, "train") as again:
        assert not (again / ".dvc/tmp/rwlock").exists()
        assert not (again / "stray.txt").exists()
    for path in sorted(folder.glob("**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with workspace(same, "train") as again:
        assert (again / "params.yaml").read_text().startswith("train:")


def test_the_repository_around_the_workspaces_is_never_touched(origin: Path) -> None:
    outer = Path(os.environ[clones.VARIABLE]).parent
    same = pinned(origin)
    with workspace(same, "train") as folder:
        (folder / ".git").unlink()
        (folder / clones.PINNED).unlink()
    with workspace(same, "train"):
        pass
    assert (outer / "own.txt").read_text() == "of the worker"
    assert git(outer, "branch", "--show-current") in ("main", "master")


def test_what_nobody_used_for_days_is_removed_but_not_what_is_in_use(origin: Path) -> None:
    same = pinned(origin)
    with workspace(same, "evaluate") as old, workspace(same, "train") as used:
        checkpoints = old.parent / "checkpoints"
        training, cached = checkpoints / ("0af1" * 16), old.parent / "cache/files/md5/00/aa"
        for path in (training, checkpoints / "notes", cached.parent):
            path.mkdir(parents=True)
        cached.write_text("the remote has it")
        long_ago = time.time() - 3 * clones.DAY
        for path in (f"{old}.lock", f"{used}.lock", training, checkpoints / "notes", cached):
            os.utime(path, (long_ago, long_ago))
        assert remove_unused(same.repository, checkpoints, days=4) == []
        assert cached.exists()
        assert remove_unused(same.repository, checkpoints, days=2) == [training]
        assert not cached.exists()
        assert (checkpoints / "notes").exists()
    os.utime(f"{old}.lock", (long_ago, long_ago))
    assert remove_unused(same.repository, checkpoints, days=2) == [old]
    assert used.exists()
    assert not old.exists()
    with workspace(same, "evaluate") as again:
        assert (again / "params.yaml").exists()


def test_mistakes_are_said_in_words(origin: Path) -> None:
    with pytest.raises(UserError, match="no branch, tag or commit 'gone'"):
        commit_of(str(origin), "gone")
    with pytest.raises(GitError, match=r"git clone failed: .*nowhere"):
        commit_of(str(origin.parent / "nowhere"), "main")
    with (
        pytest.raises(ParamsError, match=r"train\.epoch: no such key"),
        workspace(pinned(origin, "train.epoch=3"), "run"),
    ):
        pass
    address = "https://anna:topsecret@example.org/x.git"
    assert clones.without_password(address) == "https://***@example.org/x.git"
    assert clones.has_password(address)
    assert clones.has_password("https://token@example.org/x.git")
    assert not clones.has_password("ssh://git@example.org/x.git")


def test_a_place_that_moves_with_the_caller_is_refused(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(clones.VARIABLE, "workspaces")
    with pytest.raises(UserError, match="give it from / on"):
        commit_of(str(origin), "main")
