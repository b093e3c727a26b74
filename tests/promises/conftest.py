"""A checkout that holds a small pipeline of each kind, whose stages are run in the test's own process."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipeline.checkout.layout import STAGES, use_pipeline
from pipeline.runs.launch import prepare_run
from stages.artifacts import read_json
from tests import preloaded
from tests.checkouts import Project, checkout
from tests.promises.kinds import ALL, FOREIGN, KINDS, Kind, folder_name, write_kind


@dataclass(frozen=True)
class Pipeline:
    """A pipeline in a folder of the checkout, which is the working directory."""

    kind: Kind
    folder: Path

    @property
    def model(self) -> str:
        """The name of its registered model."""
        return self.folder.name

    @property
    def params(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def corpus(self) -> Path:
        return Path("data/corpora") / self.folder.name

    def run(self, *stages: str) -> None:
        """Run stages in this process and enter them in dvc.lock, as `dvc repro` would if they were stale."""
        from dvc.repo import Repo

        with Repo() as repo:
            for stage in stages or STAGES:
                import_module(f"stages.{stage}").main(self.params)
                repo.commit(f"{self.folder}/dvc.yaml:{stage}", force=True)

    def tuneline(self, *words: str, code: int = 0) -> str:
        """Run a command in the folder, in this process, and return what it prints.

        Checks its exit code, and that it uses no word of another task.
        """
        finished = Project(self.folder).call(*words, code=code)
        text = finished.stdout + finished.stderr
        assert not re.search(FOREIGN[self.kind.task], text), text
        return text

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a command with --json, and parse what it prints."""
        return json.loads(Project(self.folder).call(*words, "--json", code=code).stdout)

    def metrics(self) -> Any:
        """The content of metrics.json."""
        return read_json(self.folder / "data/report/metrics.json")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, empty_store: Path) -> Iterator[Path]:
    """A checkout, the working directory, with a pipeline of each kind, all committed.

    Child processes of commands are started by the fork server. Training runs send their steps to MLflow at their end.
    """
    folder = tmp_path_factory.mktemp("promises") / "project"
    checkout(folder, tiny_pretrained)
    shutil.copy(empty_store, folder)
    programs = preloaded.environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    with warnings.catch_warnings(action="ignore"):
        import mlflow.pyfunc  # noqa: F401 - MLflow warns of its own types
    with chdir(folder), mock.patch.dict(os.environ, programs), pytest.MonkeyPatch.context() as patch:
        for name in ALL:
            write_kind(name)
        commit()
        patch.setattr(sys, "executable", programs["TESTS_PYTHON"])
        patch.setattr("stages.tracking.sync.sync_live", lambda _: nullcontext())
        yield folder


def commit() -> None:
    """Commit all that git does not ignore."""
    for words in (["add", "--all"], ["commit", "--quiet", "--message", "change"]):
        subprocess.run(["git", *words], check=True, capture_output=True)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * kind.is_slow) for name, kind in KINDS.items()]
)
def pipeline(request: pytest.FixtureRequest, project: Path) -> Pipeline:
    """The pipelines of all kinds, one after another; of those of ADAPTED where a test asks for them.

    The parent of one that goes on from it is registered, and pinned in params.yaml.
    """
    found = find_pipeline(request.param)
    if found.kind.parent:
        parent = find_pipeline(found.kind.parent)
        parent.run()
        with use_pipeline(found.folder):
            prepare_run([f"model.pretrained=models:/{parent.model}@challenger"])
        commit()
    return found


def find_pipeline(name: str) -> Pipeline:
    """The pipeline of a kind."""
    return Pipeline(ALL[name], Path("kinds") / folder_name(name))
