"""Clones of workers, with the real git and a real repository."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.runs import clones
from pipeline.runs.clones import GitError, RunSpec, remove_unused, resolve_commit, workspace
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
    """A repository; the folder of workspaces is inside another one, as it is in a worker's own checkout."""
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


def make_spec(origin: Path, *settings: str, revision: str = "main") -> RunSpec:
    return RunSpec(str(origin), resolve_commit(str(origin), revision), list(settings))


def test_a_worktree_has_the_commit_the_settings_and_shared_folders(origin: Path) -> None:
    with workspace(make_spec(origin, "train.epochs=7"), "train") as folder:
        text = (folder / "params.yaml").read_text()
        assert "epochs: 7  # of the first commit" in text
        assert f'checkpoint_dir: "{folder.parent}/checkpoints"' in text
        assert (folder / ".dvc/config.local").read_text() == f"[cache]\n    dir = {folder.parent}/cache\n"
        assert git(folder, "rev-parse", "HEAD") == git(origin, "rev-parse", "HEAD")


def test_a_worktree_declares_the_older_corpora_that_the_settings_name(origin: Path) -> None:
    (origin / "dvc.yaml").write_text("stages:\n  tokenize:\n    deps:\n      - ${data.dir}\n      - stages/a.py\n")
    (origin / "params.yaml").write_text(f"{PARAMS}evaluate:\n  also: []\n")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message", "second")
    with workspace(make_spec(origin, "evaluate.also=[data/old]"), "tokenize") as folder:
        assert '- ${data.dir}\n      - "data/old"\n      - stages/a.py\n' in (folder / "dvc.yaml").read_text()
    with workspace(make_spec(origin), "tokenize") as folder:
        assert (folder / "dvc.yaml").read_bytes() == (origin / "dvc.yaml").read_bytes()


def test_an_absolute_checkpoint_folder_is_kept(origin: Path) -> None:
    with workspace(make_spec(origin, "runtime.checkpoint_dir=/srv/checkpoints"), "train") as folder:
        assert "checkpoint_dir: /srv/checkpoints" in (folder / "params.yaml").read_text()


def test_a_worktree_is_reused_with_the_outputs_in_it(origin: Path) -> None:
    spec = make_spec(origin)
    with workspace(spec, "train") as first:
        (first / "data").mkdir()
        (first / "data/output").write_text("of a stage")
        (first / "params.yaml").write_text(f"{PARAMS}# touched\n")
    with workspace(spec, "train") as again:
        assert again == first
        assert "touched" in (again / "params.yaml").read_text()
    with workspace(make_spec(origin, "train.epochs=9"), "train") as other:
        assert other == first
        assert "touched" not in (other / "params.yaml").read_text()
        assert (other / "data/output").read_text() == "of a stage"


def test_concurrent_runs_have_separate_worktrees_and_a_new_commit_is_fetched(origin: Path) -> None:
    old = make_spec(origin)
    (origin / "new.txt").write_text("new")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message", "second")
    git(origin, "tag", "v2")
    with workspace(old, "train") as one, workspace(make_spec(origin, revision="v2"), "train") as two:
        assert one != two
        assert not (one / "new.txt").exists()
        assert (two / "new.txt").exists()
    with workspace(make_spec(origin), "train") as folder:
        assert (folder, (folder / "new.txt").exists()) == (one, True)


def test_leftovers_of_a_killed_worker_are_removed(origin: Path) -> None:
    spec = make_spec(origin)
    with workspace(spec, "train") as folder:
        (folder / ".dvc/tmp").mkdir()
        (folder / ".dvc/tmp/rwlock").write_text('{"write": {"data": {"pid": 1, "cmd": "dvc repro"}}}')
        Path(git(folder, "rev-parse", "--absolute-git-dir"), "index.lock").write_text("")
        (folder / "stray.txt").write_text("stray")
        (folder / clones.SPEC_FILE).unlink()  # killed before the worktree was ready
    with workspace(spec, "train") as again:
        assert not (again / ".dvc/tmp/rwlock").exists()
        assert not (again / "stray.txt").exists()
    for path in sorted(folder.glob("**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with workspace(spec, "train") as again:
        assert (again / "params.yaml").read_text().startswith("train:")


def test_the_repository_around_the_workspaces_is_unchanged(origin: Path) -> None:
    outer = Path(os.environ[clones.VARIABLE]).parent
    spec = make_spec(origin)
    with workspace(spec, "train") as folder:
        (folder / ".git").unlink()
        (folder / clones.SPEC_FILE).unlink()
    with workspace(spec, "train"):
        pass
    assert (outer / "own.txt").read_text() == "of the worker"
    assert git(outer, "branch", "--show-current") in ("main", "master")


def test_unused_worktrees_and_checkpoints_are_removed_but_none_in_use(origin: Path) -> None:
    spec = make_spec(origin)
    with workspace(spec, "evaluate") as unused, workspace(spec, "train") as used:
        checkpoints = unused.parent / "checkpoints"
        old, cached = checkpoints / ("0af1" * 16), unused.parent / "cache/files/md5/00/aa"
        for path in (old, checkpoints / "notes", cached.parent):
            path.mkdir(parents=True)
        cached.write_text("the remote has it")
        long_ago = time.time() - 3 * clones.DAY
        for path in (f"{unused}.lock", f"{used}.lock", old, checkpoints / "notes", cached):
            os.utime(path, (long_ago, long_ago))
        assert remove_unused(spec.repository, checkpoints, days=4) == []
        assert cached.exists()
        assert remove_unused(spec.repository, checkpoints, days=2) == [old]
        assert not cached.exists()
        assert (checkpoints / "notes").exists()
    os.utime(f"{unused}.lock", (long_ago, long_ago))
    assert remove_unused(spec.repository, checkpoints, days=2) == [unused]
    assert used.exists()
    assert not unused.exists()
    with workspace(spec, "evaluate") as again:
        assert (again / "params.yaml").exists()


def test_errors_name_the_revision_the_repository_or_the_setting(origin: Path) -> None:
    with pytest.raises(UserError, match="no branch, tag or commit 'gone'"):
        resolve_commit(str(origin), "gone")
    with pytest.raises(GitError, match=r"git clone failed: .*nowhere"):
        resolve_commit(str(origin.parent / "nowhere"), "main")
    with (
        pytest.raises(ParamsError, match=r"train\.epoch: no such key"),
        workspace(make_spec(origin, "train.epoch=3"), "run"),
    ):
        pass
    address = "https://anna:topsecret@example.org/x.git"
    assert clones.without_password(address) == "https://***@example.org/x.git"
    assert clones.has_password(address)
    assert clones.has_password("https://token@example.org/x.git")
    assert not clones.has_password("ssh://git@example.org/x.git")


def test_a_relative_folder_for_workspaces_is_refused(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(clones.VARIABLE, "workspaces")
    with pytest.raises(UserError, match="set it to an absolute one"):
        resolve_commit(str(origin), "main")
