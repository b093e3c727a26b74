"""What keeps DVC from reading a checkout is told with the way out, which works."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.checkout.dvc_errors import require_repository
from pipeline.checkout.layout import STAGES
from pipeline.checkout.status import check_inputs, stage_states
from stages.errors import ParamsError, UserError
from stages.params import read_document

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

VERSIONED = ("dvc.lock", "dvc.yaml", "params.yaml", "data/mine.dvc")


def git(*words: str, code: int = 0) -> None:
    assert subprocess.run(["git", *words], capture_output=True, check=False).returncode == code


def write_versioned(number: int) -> None:
    """The files of a project that says so everywhere."""
    stages = {name: {"cmd": f"true {number}", "deps": ["params.yaml"]} for name in STAGES}
    contents = {
        "dvc.lock": {"schema": "2.0", "stages": {name: {"cmd": f"true {number}"} for name in STAGES}},
        "dvc.yaml": {"stages": stages},
        "params.yaml": {"train": {"seed": number}},
        "data/mine.dvc": {"outs": [{"md5": str(number) * 32, "hash": "md5", "path": "mine"}]},
    }
    for name, content in contents.items():
        Path(name).write_text(json.dumps(content, indent=2) + "\n")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project with two branches that differ in all that DVC reads; the working directory is on one of them."""
    with chdir(tmp_path):
        Path("data").mkdir()
        git("init", "--quiet", "--initial-branch", "main")
        with Repo.init():
            pass
        for branch, number in (("main", 1), ("theirs", 2), ("ours", 3)):
            git("checkout", "--quiet", "-B", branch, *([] if branch == "main" else ["main"]))
            write_versioned(number)
            git("add", "--all")
            git("commit", "--quiet", "--message", branch)
        yield tmp_path


def test_all_marks_of_a_merge_are_told_at_once_with_a_way_out_that_works(project: Path) -> None:
    git("merge", "theirs", code=1)
    with pytest.raises(UserError) as refusal:
        stage_states()
    message = str(refusal.value)
    for name, way_out in (
        ("dvc.lock", "`git checkout --ours dvc.lock` (or --theirs), then `tuneline run`"),
        ("dvc.yaml", "keep the lines that you want"),
        ("params.yaml", "keep the lines that you want"),
        ("data/mine.dvc", "`git checkout --ours data/mine.dvc` (or --theirs), then `dvc checkout data/mine.dvc`"),
    ):
        line = next(n for n, text in enumerate(Path(name).read_text().splitlines(), 1) if text.startswith("<<<<<<< "))
        assert message.count(f"{name}:{line}: {way_out}") == 1
    git("checkout", "--ours", "dvc.lock", "dvc.yaml", "params.yaml")
    git("checkout", "--theirs", "data/mine.dvc")
    assert [state.name for state in stage_states()] == list(STAGES)


def test_marks_that_were_committed_have_another_way_out(project: Path) -> None:
    git("merge", "theirs", code=1)
    git("add", "--all")
    git("commit", "--quiet", "--message", "marks and all")
    with pytest.raises(UserError, match=r"dvc.lock:\d+: delete it, then `tuneline run` writes it again"):
        stage_states()
    Path("dvc.lock").unlink()
    write_versioned(3)
    assert [state.name for state in stage_states()] == list(STAGES)


@pytest.mark.parametrize("content", ["", "{", "stages: {train: {cmd: [", "[]"])
def test_a_damaged_lock_file_is_told_with_a_way_out_that_works(project: Path, content: str) -> None:
    Path("dvc.lock").write_text(content)
    with pytest.raises(UserError, match=r"^DVC: .*dvc\.lock.*\. `git checkout dvc\.lock` brings it back; or delete it"):
        stage_states()
    git("checkout", "dvc.lock")
    assert [state.name for state in stage_states()] == list(STAGES)


def test_marks_in_the_settings_of_dvc_are_told_as_well(project: Path) -> None:
    Path(".dvc/config").write_text("<<<<<<< HEAD\n[core]\n=======\n>>>>>>> theirs\n")
    with pytest.raises(UserError, match=r"\.dvc/config:1: keep the lines that you want"):
        stage_states()


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", "||||||| 0af1", "=======\r", ">>>>>>> theirs"])
def test_marks_are_told_by_whoever_reads_the_parameters(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"train:\n  seed: 1\n{mark}\n  epochs: 2\n", newline="")
    with pytest.raises(ParamsError, match=r"params.yaml:3 cannot be read: a merge has left the marks of a conflict"):
        read_document(path)


def test_a_source_archive_is_told_from_a_repository_that_git_cannot_use(project: Path) -> None:
    shutil.rmtree(".git")
    Path(".git").mkdir()
    with pytest.raises(UserError, match="git rev-parse failed: fatal: not a git repository"):
        stage_states()
    Path(".git").rmdir()
    for refuse in (stage_states, require_repository):
        with pytest.raises(UserError, match=r"git clone.*git init && git add --all && git commit --message start"):
            refuse()
    git("init")
    git("add", "--all")
    git("commit", "--message", "start")
    require_repository()
    assert [state.name for state in stage_states()] == list(STAGES)


def test_a_copy_without_hidden_files_needs_them(project: Path) -> None:
    shutil.rmtree(".git")
    shutil.rmtree(".dvc")
    with pytest.raises(UserError, match=r"has no folder .dvc, .* were hidden files left out when it was copied"):
        stage_states()


def test_a_project_that_does_without_git_gets_no_advice_on_it(project: Path) -> None:
    shutil.rmtree(".git")
    with Repo.init(no_scm=True, force=True):
        pass
    check_inputs(stage_states())
    Path("params.yaml").write_text("<<<<<<< HEAD\n")
    with pytest.raises(UserError, match=r"params.yaml:1: keep the lines"):
        stage_states()


def test_no_run_starts_if_git_cannot_tell_the_commit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = stage_states()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # a switch of git for its own tests
    with pytest.raises(UserError, match=r"(?s)recorded with a model.*git config --global --add safe.directory"):
        check_inputs(states)


def test_links_into_the_cache_of_a_project_that_was_moved_are_made_again(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    with chdir(before):
        git("init", "--quiet")
        with Repo.init() as repo, repo.config.edit() as config:
            config["cache"]["type"] = ["symlink"]
        Path("params.yaml").write_text("{}\n")
        Path("corpus").mkdir()
        Path("corpus/train.conll").write_text("Rome B-LOC\n")
        Path("dvc.yaml").write_text("stages: {tokenize: {cmd: 'true', deps: [corpus]}}\n")
        with Repo() as repo:
            repo.add("corpus")
    before.rename(after)
    with chdir(after):
        with pytest.raises(UserError, match=r"train.conll is a link into DVC's cache.*`dvc checkout --relink`"):
            stage_states()
        with Repo() as repo:
            repo.checkout(relink=True)
        assert Path("corpus/train.conll").read_text() == "Rome B-LOC\n"
