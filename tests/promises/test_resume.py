"""A training run of each kind that is killed and started again ends with the bytes of an undisturbed one."""

import shutil
import signal
from pathlib import Path

import pytest

from stages import train
from stages.artifacts import folder_digest
from tests import preloaded
from tests.checkouts import ROOT, set_in
from tests.processes import PATIENCE, start
from tests.promises.conftest import Pipeline
from tests.promises.kinds import DISTINCT

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC


@pytest.mark.parametrize("pipeline", DISTINCT, indirect=True)
def test_killed_training_run_resumes_with_the_bytes_of_an_undisturbed_one(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    model = pipeline.folder / "data/model"
    with set_in(pipeline.folder, "train.dropout=0.1", "runtime.checkpoint_seconds=1"):
        pipeline.run("tokenize", "train")
        undisturbed = folder_digest(model)
        shutil.rmtree(model)
        programs = preloaded.environment()
        python = str(shutil.which("python", path=programs["PATH"]))
        command = [python, "-m", "tests.promises.killed", str(pipeline.params)]
        killed = start(command, Path(), **programs, PYTHONPATH=str(ROOT))
        assert killed.wait(PATIENCE) == -signal.SIGKILL, Path("server.log").read_text(encoding="utf-8")
        assert not model.exists()
        with caplog.at_level("INFO", logger="train"):
            train.main(pipeline.params)
        assert any(line.startswith("resuming from the checkpoint after step ") for line in caplog.messages)
        assert f" with dev {pipeline.kind.score} " in caplog.messages[-1]
        assert folder_digest(model) == undisturbed
    with set_in(pipeline.folder, "train.dropout=0.1", "train.seed=14"):
        train.main(pipeline.params)
    assert folder_digest(model) != undisturbed
