"""What `dvc exp run --temp` or `--queue` records in its temporary copy of the project is kept in the project."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from dvc.repo import Repo
from mlflow import MlflowClient

from stages.artifacts import write_json
from stages.runtime.project import project_folder
from stages.tracking.client import tracking_uri
from stages.tracking.environment import current_execution
from stages.tracking.event_log import EventLog
from stages.tracking.sync import execution_file, sync_event_log
from tests.checkouts import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

KEY = "ab" * 32
ASK = "from stages.runtime.project import project_folder; print(project_folder(), end='')"


@pytest.fixture
def copy(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of the project `tmp_path`, where DVC makes them."""
    shutil.copy(empty_store, tmp_path)
    folder = tmp_path / ".dvc/tmp/exps/standalone/tmp1"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def test_events_store_and_artifacts_are_in_the_project(copy: Path, tmp_path: Path) -> None:
    event_log = EventLog(KEY)
    event_log.begin({"train": {"seed": 13}}, {})
    event_log.log_execution("train", "d" * 64, current_execution())
    run_id = sync_event_log(event_log)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    run = MlflowClient(tracking_uri()).get_run(run_id)
    assert run.data.params == {"train/seed": "13"}
    assert Path(run.info.artifact_uri, execution_file("train", "d" * 64)).is_relative_to(tmp_path / "mlruns")
    assert (tmp_path / f".tuneline/events/{KEY}.jsonl").exists()
    assert Path.cwd() == copy
    assert list(copy.iterdir()) == []  # DVC deletes it


@pytest.mark.parametrize("uri", ["sqlite:///own/store.db", "sqlite:////srv/store.db", "http://127.0.0.1:5000"])
def test_a_store_that_was_named_is_the_same_in_the_copy(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_uri() == uri.replace("own/", f"{tmp_path}/own/")


def test_elsewhere_the_project_is_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for root in (str(tmp_path), str(tmp_path.parent), "/nowhere"):  # the first is what `dvc repro` sets
        monkeypatch.setenv("DVC_ROOT", root)
        assert project_folder() == Path()
    assert tracking_uri() == "sqlite:///mlflow.db"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project in the working directory with a stage that writes down which project it belongs to."""
    with chdir(tmp_path):
        stage = {"cmd": f"{sys.executable} -c {json.dumps(ASK)} > answer", "params": ["train"], "outs": ["answer"]}
        write_json(Path("dvc.yaml"), {"stages": {"ask": stage}})
        Path("params.yaml").write_text("train:\n  seed: 1\n")
        subprocess.run(["git", "init", "--quiet"], check=True)
        with Repo.init() as repo, repo.config.edit() as config:
            config["core"] = {"analytics": False}
        subprocess.run(["git", "add", "--all"], check=True)
        subprocess.run(["git", "commit", "--quiet", "--message", "start"], check=True)
        yield tmp_path


def test_dvc_tells_a_temporary_copy_which_project_it_belongs_to(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Repo() as repo:
        (experiment,) = repo.experiments.run(tmp_dir=True, params=["train.seed=2"])
        repo.experiments.apply(experiment)
    assert Path("answer").read_text() == str(project)
