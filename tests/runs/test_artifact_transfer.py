"""Two clones that share only a DVC remote, with the real DVC; tests/workers does the same with worker processes."""

import json
import shutil
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.runs import artifact_transfer
from pipeline.runs.artifact_transfer import TransferError
from stages.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

SCRIPT = """
import sys
from pathlib import Path
source, folder = map(Path, sys.argv[1:])
folder.mkdir()
(folder / "result").write_text(source.read_text() + folder.name)
with Path(__file__).with_name("executions").open("a") as log:
    log.write(f"{folder.name} ")
"""
SOURCES = {"first": "data/input", "second": "data/first/result"}


@dataclass(frozen=True)
class Clones:
    """Two clones of a project with the stages `first` and `second`, and the folder of their DVC remote."""

    here: Path
    there: Path
    remote: Path

    def executions(self) -> list[str]:
        """The stages that were run in either clone, in order."""
        return self.here.with_name("executions").read_text().split()

    def compute(self) -> None:
        """Run both stages here, and push what they make."""
        with chdir(self.here):
            with Repo() as repo:
                repo.reproduce()
            for stage in SOURCES:
                artifact_transfer.push(stage)

    def restore(self) -> list[str | None]:
        """Fetch there and restore the stages, as far as they were computed."""
        outcomes: list[str | None] = []
        with chdir(self.there):
            artifact_transfer.fetch()
            for stage in SOURCES:
                outcomes.append(artifact_transfer.restore(stage))
                if outcomes[-1] is None:
                    break
        return outcomes


@pytest.fixture
def clones(tmp_path: Path) -> Clones:
    origin, script = tmp_path / "origin", tmp_path / "stage.py"
    script.write_text(SCRIPT)
    (origin / "data").mkdir(parents=True)
    (origin / "data/input").write_text("text ")
    stages = {
        name: {
            "cmd": f"{sys.executable} {script} {source} data/{name}",
            "deps": [source],
            "params": [name],
            "outs": [f"data/{name}"],
        }
        for name, source in SOURCES.items()
    }
    (origin / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (origin / "params.yaml").write_text("first: 1\nsecond: 1\n")
    subprocess.run(["git", "init", "--quiet", str(origin)], check=True)
    with Repo.init(str(origin)) as repo, repo.config.edit() as config:
        config["remote"]["team"] = {"url": str(tmp_path / "remote")}
        config["core"]["remote"] = "team"
    for words in ("add --all", "commit --quiet --message start", "clone --quiet . ../here", "clone --quiet . ../there"):
        subprocess.run(["git", *words.split()], cwd=origin, check=True)
    return Clones(tmp_path / "here", tmp_path / "there", tmp_path / "remote")


def test_restore_checks_out_what_another_clone_computed_and_runs_nothing(clones: Clones) -> None:
    clones.compute()
    (clones.there / "data/first").mkdir()
    (clones.there / "data/first/stale").write_text("of a run that was killed")
    assert clones.restore() == ["restored", "restored"]
    assert (clones.there / "data/second/result").read_text() == "text firstsecond"
    assert not (clones.there / "data/first/stale").exists()
    assert (clones.there / "dvc.lock").read_bytes() == (clones.here / "dvc.lock").read_bytes()
    with chdir(clones.there), Repo() as repo:
        assert repo.status() == {}
    assert clones.restore() == ["fresh", "fresh"]
    shutil.rmtree(clones.there / "data/second")
    assert clones.restore() == ["fresh", "restored"]
    assert clones.executions() == ["first", "second"]


def test_restore_returns_none_for_a_stage_that_nobody_computed(clones: Clones) -> None:
    assert clones.restore() == [None]
    clones.compute()
    (clones.there / "params.yaml").write_text("first: 1\nsecond: 2\n")
    assert clones.restore() == ["restored", None]
    lock = (clones.there / "dvc.lock").read_text()
    assert "first:" in lock
    assert "second:" not in lock


def test_restore_returns_none_if_the_remote_lost_the_outputs(clones: Clones) -> None:
    clones.compute()
    shutil.rmtree(clones.remote / "files")
    assert clones.restore() == [None]
    assert not (clones.there / "dvc.lock").exists()


def test_a_failing_remote_is_a_transfer_error(clones: Clones) -> None:
    clones.remote.write_text("not a folder")
    with pytest.raises(TransferError, match="cannot push to the DVC remote"):
        clones.compute()


def test_a_project_without_a_remote_is_a_user_error(clones: Clones) -> None:
    (clones.there / ".dvc/config").write_text("")
    with pytest.raises(UserError, match="dvc remote add --default"):
        clones.restore()
