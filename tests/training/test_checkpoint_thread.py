"""Checkpoints that a thread writes while the training goes on."""

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from stages.errors import ArtifactError
from stages.training import checkpoints as module
from stages.training.checkpoints import STATE, Checkpoints
from tests.training.random_run import FOLDER, REFERENCE, TrainingRun, fresh, same_progress, same_state

SECONDS = 30  # until something that does not happen is given up
F1 = [0.5, 0.25, 0.75]

Write = Callable[[dict[str, torch.Tensor], Path], None]


@pytest.fixture(autouse=True)
def _temporary_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class SlowDisk:
    """Stands in for `save_file`: it waits until it is released."""

    def __init__(self) -> None:
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, tensors: dict[str, torch.Tensor], path: Path) -> None:
        self.reached.set()
        assert self.released.wait(SECONDS)
        save_file(tensors, path)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk()
    monkeypatch.setattr(module, "save_file", disk)
    yield disk
    disk.released.set()


def steps_on_disk() -> list[int]:
    return sorted(int(path.name[5:]) for path in FOLDER.glob("step-*"))


def as_after(steps: int) -> TrainingRun:
    return TrainingRun(F1, folder=REFERENCE / str(steps), steps=steps)


def test_steps_go_on_while_a_checkpoint_is_written(slow_disk: SlowDisk) -> None:
    run, checkpoints = TrainingRun(F1, steps=3), Checkpoints(FOLDER)
    checkpoints.start(run.progress, run.weights)
    assert slow_disk.reached.wait(SECONDS)
    for _ in range(3):
        run.step()  # one of which brings a better epoch
        assert checkpoints.is_writing
        checkpoints.check()
    assert steps_on_disk() == []
    slow_disk.released.set()
    checkpoints.wait()
    assert not checkpoints.is_writing
    weights = fresh()
    assert same_progress(Checkpoints(FOLDER).restore(weights), as_after(3).progress)
    assert same_state(weights, as_after(3).weights)


def test_a_checkpoint_is_skipped_while_another_is_written(slow_disk: SlowDisk) -> None:
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    for _ in range(3):
        checkpoints.start(run.progress, run.weights)
        run.step()
    slow_disk.released.set()
    checkpoints.wait()
    assert steps_on_disk() == [1]
    checkpoints.start(run.progress, run.weights)
    checkpoints.wait()
    assert steps_on_disk() == [1, 4]


def test_save_comes_after_the_checkpoint_that_is_being_written(slow_disk: SlowDisk) -> None:
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    checkpoints.start(run.progress, run.weights)
    run.step()
    threading.Timer(0.05, slow_disk.released.set).start()
    checkpoints.save(run.progress, run.weights)
    assert steps_on_disk() == [1, 2]


def test_save_of_the_step_that_is_being_written_waits_for_it(slow_disk: SlowDisk) -> None:
    run, checkpoints = TrainingRun(F1, steps=2), Checkpoints(FOLDER)
    checkpoints.start(run.progress, run.weights)
    threading.Timer(0.05, slow_disk.released.set).start()
    checkpoints.save(run.progress, run.weights)
    assert steps_on_disk() == [2]


def test_the_state_is_copied_once_and_written_as_it_is() -> None:
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    places = set()
    for _ in range(3):
        checkpoints.save(run.progress, run.weights)
        content = (FOLDER / f"step-{run.progress.steps:08}" / STATE).read_bytes()
        assert content == save(run.weights.state())
        places.add(frozenset(value.data_ptr() for value in checkpoints._host_state.values()))
        run.step()
    assert len(places) == 1


def test_remove_waits_for_the_thread(slow_disk: SlowDisk) -> None:
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    checkpoints.start(run.progress, run.weights)
    threading.Timer(0.05, slow_disk.released.set).start()
    checkpoints.remove()
    assert not checkpoints.is_writing
    assert not FOLDER.exists()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_no_thread_and_no_half_checkpoint_is_left_behind(
    slow_disk: SlowDisk, error: type[BaseException] | None
) -> None:
    before = set(threading.enumerate())
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    try:
        with checkpoints.finishing():
            checkpoints.start(run.progress, run.weights)
            threading.Timer(0.05, slow_disk.released.set).start()
            assert slow_disk.reached.wait(SECONDS)
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoint_0" and thread not in before]
    assert steps_on_disk() == [1]


def fail_with(error: Exception) -> Write:
    def write(tensors: dict[str, torch.Tensor], path: Path) -> None:
        raise error

    return write


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("error", "expected", "message"), [
    (FULL, ArtifactError, "^no checkpoint of step 2: cannot write .*No space left"), (KeyError("bug"), KeyError, "bug"),
])  # fmt: skip
@pytest.mark.parametrize("reported_by", ["check", "start", "wait"])
def test_an_error_of_the_thread_is_raised_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception], message: str, reported_by: str
) -> None:
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    checkpoints.save(run.progress, run.weights)
    run.step()
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", fail_with(error))
        checkpoints.start(run.progress, run.weights)
        while checkpoints.is_writing:
            pass
    run.step()
    report = {
        "check": checkpoints.check,
        "start": lambda: checkpoints.start(run.progress, run.weights),
        "wait": checkpoints.wait,
    }[reported_by]
    with pytest.raises(expected, match=message):
        report()
    checkpoints.check()
    checkpoints.wait()
    assert steps_on_disk() == [1]
    checkpoints.start(run.progress, run.weights)
    checkpoints.wait()
    assert steps_on_disk() == [1, 3]


def test_a_last_checkpoint_that_fails_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    monkeypatch.setattr(module, "save_file", fail_with(FULL))
    with checkpoints.finishing():
        checkpoints.start(run.progress, run.weights)
    (warning,) = [record.message for record in caplog.records]
    assert warning.startswith("warning: no checkpoint of step 1: cannot write ")


def test_a_history_that_cannot_be_written_is_an_error_of_start(monkeypatch: pytest.MonkeyPatch) -> None:
    run, checkpoints = TrainingRun(F1, steps=1), Checkpoints(FOLDER)
    monkeypatch.setattr(run.progress.history, "_store", lambda: (_ for _ in ()).throw(FULL))
    with pytest.raises(ArtifactError, match=r"^no checkpoint of step 1: cannot write .*history\.jsonl: No space left"):
        checkpoints.start(run.progress, run.weights)
    assert not checkpoints.is_writing


def train_until_killed(reached: "multiprocessing.synchronize.Event") -> None:
    """Write two checkpoints, and half of a third one."""

    def write_half(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_file(tensors, path)
        os.truncate(path, path.stat().st_size // 2)
        reached.set()
        threading.Event().wait()

    run, checkpoints = TrainingRun(F1), Checkpoints(FOLDER)
    run.save(checkpoints, steps=2)
    run.step()
    module.save_file = write_half
    checkpoints.start(run.progress, run.weights)
    while True:
        run.step()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a process that has used a GPU cannot fork")
def test_a_kill_while_the_thread_writes_leaves_the_checkpoint_before_and_the_same_end() -> None:
    context = multiprocessing.get_context("fork")
    reached = context.Event()
    process = context.Process(target=train_until_killed, args=(reached,))
    process.start()
    assert reached.wait(SECONDS)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list(FOLDER.glob(".step-00000003.new-*.part"))

    run, checkpoints = TrainingRun(F1), Checkpoints(FOLDER)
    run.progress = checkpoints.restore(run.weights)
    assert run.progress.steps == 2
    assert same_state(run.weights, as_after(2).weights)
    run.save(checkpoints, steps=4)
    assert same_state(run.weights, as_after(6).weights)
    assert same_progress(run.progress, as_after(6).progress)
    undisturbed = TrainingRun(F1, folder=REFERENCE / "saved")
    undisturbed.save(Checkpoints(REFERENCE / "saved"), steps=6)
    for path in (FOLDER / "step-00000006").iterdir():
        assert path.read_bytes() == (REFERENCE / "saved/step-00000006" / path.name).read_bytes()
