"""Reproduction without any training: the worktree from git, DVC's cache or its remote, and the verdict."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from pipeline.checkout.layout import METRICS, PREDICTIONS, REGISTRATION
from pipeline.checkout.worktree import worktree
from pipeline.registry.reproduction import Difference, Recorded, compare_environments, judge, reproduce_version
from stages.artifacts import write_json
from stages.errors import UserError
from stages.tasks.token_classification.scores.predictions import write_predictions
from stages.tracking.git import GitState
from stages.tracking.lineage_record import LineageFiles, current_lineage
from stages.tracking.registry import DIGEST_TAG
from tests.registry.versions import ENVIRONMENT, FIRST, GOLD, NAME, RECORDED, SECOND, WORDS, predictions, register

# DVC 3.67 reads it in the way that pygtrie is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

CORPUS = Path("data/corpora/mine")
PARAMS = """data:
  dir: data/corpora/mine
model:
  pretrained: org/encoder
register:
  name: mine
runtime:
  checkpoint_dir: /elsewhere
"""
STAGES = """stages:
  tokenize: {cmd: "true", deps: [data/corpora/mine, stages/tokenize.py], outs: [data/encoded]}
"""
MODEL: dict[str, Any] = {
    "device": "cpu", "precision": "fp32", "threads": 1, "train_key": "4" * 64, "digest": "d" * 64
}  # fmt: skip


def git(*words: str) -> None:
    subprocess.run(["git", *words], capture_output=True, check=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository whose corpus DVC tracks, with uncommitted changes of the code."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git("init", "--quiet")
    with Repo.init() as repo, repo.config.edit() as config:
        config["core"] = {"analytics": False}
    for path, content in {
        CORPUS / "train.conll": "Bonn B-LOC\n",
        Path("data/encoded/train.arrow"): "encoded",
        Path("stages/tokenize.py"): "pass\n",
        Path("params.yaml"): PARAMS,
        Path("dvc.yaml"): STAGES,
        Path(".gitignore"): ".tuneline/\n",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    with Repo() as repo:
        repo.add(str(CORPUS))
        repo.commit(force=True)
    git("add", "--all")
    git("commit", "--quiet", "--message", "start")
    Path("stages/tokenize.py").write_text("print()\n", encoding="utf-8")
    return folder


def lineage() -> LineageFiles:
    return current_lineage({}, **MODEL)


def read_worktree(files: LineageFiles, tree: Path) -> dict[str, str]:
    """Some of the files of the worktree."""
    with worktree(tree, files, lambda _: None):
        assert Path.cwd() == tree
        paths = (CORPUS / "train.conll", Path("stages/tokenize.py"), Path("params.yaml"))
        return {str(path): path.read_text(encoding="utf-8") for path in paths}


def assert_gone(tree: Path) -> None:
    assert not tree.exists()
    assert not list(Path(".git").glob("worktrees/*"))


def test_data_comes_from_the_cache_which_does_not_change(checkout: Path, tmp_path: Path) -> None:
    cached = sorted(Path(".dvc/cache").rglob("*"))
    shutil.rmtree(CORPUS)
    files = read_worktree(lineage(), tmp_path / "tree")
    assert files["data/corpora/mine/train.conll"] == "Bonn B-LOC\n"
    assert files["stages/tokenize.py"] == "print()\n"
    assert "checkpoint_dir: .checkpoints" in files["params.yaml"]  # a checkpoint elsewhere would be resumed
    assert sorted(Path(".dvc/cache").rglob("*")) == cached
    assert_gone(tmp_path / "tree")


def test_data_comes_from_a_remote_that_the_commit_does_not_know(checkout: Path, tmp_path: Path) -> None:
    with Repo() as repo, repo.config.edit("local") as config:
        config["core"] = {"remote": "team"}
        config["remote"] = {"team": {"url": str(tmp_path / "remote")}}
    with Repo() as repo:
        repo.push()
    shutil.rmtree(".dvc/cache")
    assert read_worktree(lineage(), tmp_path / "tree")["data/corpora/mine/train.conll"] == "Bonn B-LOC\n"
    assert {len(path.parent.name) for path in Path(".dvc/cache/files/md5").rglob("*") if path.is_file()} == {2}


def test_missing_data_is_named_and_the_worktree_removed(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(".dvc/cache")
    with pytest.raises(UserError, match=r"data/corpora/mine\.dvc: the data is neither in DVC's cache nor in"):
        read_worktree(lineage(), tmp_path / "tree")
    assert_gone(tmp_path / "tree")


def test_the_patch_applies_whatever_the_configuration_of_git(checkout: Path, tmp_path: Path) -> None:
    for setting in ("diff.noprefix=true", "diff.context=0", "color.ui=always"):
        git("config", *setting.split("="))
    assert read_worktree(lineage(), tmp_path / "tree")["stages/tokenize.py"] == "print()\n"


def test_a_missing_commit_is_named(checkout: Path, tmp_path: Path) -> None:
    files = lineage()
    record = replace(files.record, git=replace(files.record.git, commit="f" * 40))
    with pytest.raises(UserError, match=r"commit f{40} is neither in this repository nor in origin"):
        read_worktree(replace(files, record=record), tmp_path / "tree")


def test_a_corpus_behind_a_link_that_git_tracks_is_found(checkout: Path, tmp_path: Path) -> None:
    shutil.move(CORPUS, tmp_path / "corpus")
    CORPUS.symlink_to(tmp_path / "corpus")
    Path(f"{CORPUS}.dvc").unlink()
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message", "a link")
    files = lineage()
    assert files.record.outside == [str(CORPUS)]
    assert read_worktree(files, tmp_path / "tree")["data/corpora/mine/train.conll"] == "Bonn B-LOC\n"


@pytest.mark.parametrize(
    ("recorded", "told"),
    [("git is not installed", "git is not installed"), (None, "the reason is not recorded")],
)
def test_a_model_without_a_commit_is_refused_with_the_recorded_reason(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, recorded: str | None, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    Path("run").mkdir()
    record = replace(RECORDED, git=GitState(None, dirty=None, remote=None, reason=recorded), rebuildable=False)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    register(client, NAME, record, {"test": predictions(WORDS, GOLD, FIRST)}, tmp_path / "run")
    with pytest.raises(UserError, match=rf"{NAME}/1 cannot be rebuilt: it has no commit \({told}\)"):
        reproduce_version(f"{NAME}/1", strict=False, on_line=print, on_progress=print)


def test_environments_differ_in_python_processor_cores_and_packages() -> None:
    recorded = replace(
        ENVIRONMENT, python="3.11.7", processor="EPYC", cores=4, threads=4, packages={"a": "1", "b": "1"}
    )
    current = replace(recorded, python="3.12.0", cores=2, packages={"a": "2", "c": "1"})
    assert compare_environments(recorded, recorded) == []
    assert compare_environments(recorded, current) == [
        "python 3.12.0 instead of 3.11.7",
        "2 cores for 4 threads",
        "a 2 instead of 1",
        "b none instead of 1",
        "c 1 instead of none",
    ]


def write_outputs(words: list[list[str]] = WORDS, *, f1: float = 0.7, digest: str = "same") -> None:
    """Write the outputs of the stages that the verdict reads into the working directory."""
    PREDICTIONS.parent.mkdir(parents=True, exist_ok=True)
    write_json(METRICS, {"test": {"primary": {"value": f1}}})
    write_json(REGISTRATION, {"model_digest": digest})
    write_predictions(PREDICTIONS, {"test": predictions(words, GOLD, FIRST)})


def recorded(**changes: Any) -> Recorded:
    """A version with the digest "same" and its predictions."""
    version = ModelVersion("mine", "1", 0, tags=[ModelVersionTag(DIGEST_TAG, "same")])
    splits = {"test": predictions(WORDS, GOLD, FIRST)}
    return replace(Recorded(version, LineageFiles(b"", b"", b"", RECORDED), splits, {}), **changes)


def test_verdict_is_the_strongest_that_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    others = {"test": predictions(WORDS, GOLD, SECOND)}
    interval = {"value": 0.71, "low": 0.65, "high": 0.75}
    seed = Difference("train", "input", "train.seed: 13 -> 14")
    report = Difference("evaluate", "output", "data/report/report.html has other bytes")
    write_outputs()
    assert judge(recorded(), [seed]) == ("bit-identical", 0.7)
    assert judge(recorded(), [report]) == ("same predictions", 0.7)
    assert judge(recorded(predictions=others, primary=interval), [report]) == ("same scores", 0.7)
    assert judge(recorded(predictions={}), [report]) == ("different", 0.7)
    write_outputs(digest="another")
    assert judge(recorded(), []) == ("same predictions", 0.7)
    write_outputs([["Berlin", *WORDS[0][1:]], *WORDS[1:]], digest="another")
    assert judge(recorded(), []) == ("different", 0.7)
    for f1 in (0.6, 0.8):
        write_outputs(f1=f1)
        assert judge(recorded(predictions=others, primary=interval), [report]) == ("different", f1)
    assert judge(recorded(), [Difference("train", "failure", "no space left")]) == ("different", None)
