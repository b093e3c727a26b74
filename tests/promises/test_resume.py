"""A training run of each kind that is killed and started again ends with the bytes of an undisturbed one."""

import itertools
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages import train
from stages.artifacts import folder_digest
from stages.training.checkpoints import Progress
from stages.training.history import Step
from tests.conftest import set_in
from tests.gpu.children import Child
from tests.promises.conftest import Pipeline

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

KILLED_AFTER = 5  # steps


def train_until_killed(params: Path) -> None:
    """Train with a checkpoint after each step, which takes a second by this clock; SIGKILL comes after some."""
    record_step, clock = train.record_step, itertools.count()

    def record_and_die(step: Step, run: train.TrainingRun, progress: Progress) -> None:
        record_step(step, run, progress)
        if step.step > KILLED_AFTER and list(Path(".checkpoints").glob("*/step-*")):
            os.kill(os.getpid(), signal.SIGKILL)

    train.record_step = record_and_die
    train.time = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)  # type: ignore[assignment]
    train.main(params)


def test_killed_training_run_resumes_with_the_bytes_of_an_undisturbed_one(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    model = pipeline.folder / "data/model"
    with set_in(pipeline.folder, "train.dropout=0.1", "runtime.checkpoint_seconds=1"):
        pipeline.run("tokenize", "train")
        undisturbed = folder_digest(model)
        shutil.rmtree(model)
        assert Child(train_until_killed, pipeline.params).wait() is None, "it was not killed"
        assert not model.exists()
        with caplog.at_level("INFO", logger="train"):
            train.main(pipeline.params)
        assert any(line.startswith("resuming from the checkpoint after step ") for line in caplog.messages)
        assert folder_digest(model) == undisturbed
    with set_in(pipeline.folder, "train.dropout=0.1", "train.seed=14"):
        train.main(pipeline.params)
    assert folder_digest(model) != undisturbed
