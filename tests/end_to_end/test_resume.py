"""A training run that is stopped in any way and started again ends with the bytes of an undisturbed one."""

import itertools
import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stages import train
from stages.fitting import fit
from stages.runtime.signals import CaughtSignals
from stages.tracking import sync
from stages.training.checkpoints import Progress
from stages.training.history import Step
from tests.checkouts import Trainable, checkout
from tests.processes import BIN, PATIENCE, processes_in, start, wait_until

MakeTrainable = Callable[..., Trainable]

KILLS = 8
EPOCHS = 20  # in which so many kills find a training run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[str, str]]:
    """The results of undisturbed runs, by their number of epochs."""
    return {}


def run_undisturbed(trainable: MakeTrainable, known: dict[int, tuple[str, str]], epochs: int) -> tuple[str, str]:
    if epochs not in known:
        training = trainable("undisturbed", **{"train.epochs": epochs})
        training.run()
        known[epochs] = training.model()
    return known[epochs]


def assert_synced_once(training: Trainable, steps: int) -> None:
    """Each step is in the history of the event log once, and each point of the curves in the one MLflow run."""
    from mlflow import MlflowClient

    (path,) = training.folder.glob(".tuneline/events/*.history.jsonl")
    history = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [entry["step"] for entry in history] == list(range(1, steps + 1))
    events = path.with_name(path.name.replace(".history", "")).read_text(encoding="utf-8").splitlines()
    assert [json.loads(event)["kind"] for event in events] == ["begin", "metrics", "execution", "end"]

    client = MlflowClient(f"sqlite:///{training.folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tuneline").experiment_id])
    assert run.info.status == "FINISHED"
    for field, name in (("loss", "train/loss"), ("dev_score", "dev/entity_strict_f1")):
        synced = [metric.step for metric in client.get_metric_history(run.info.run_id, name)]
        assert sorted(synced) == [entry["step"] for entry in history if field in entry]


def assert_same(training: Trainable, expected: tuple[str, str]) -> None:
    digest, history = training.model()
    assert history == expected[1]
    assert digest == expected[0]
    lines = [json.loads(line) for line in history.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, lines[0]["steps"] + 1))
    assert not training.checkpoints()


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def kill_while_it_writes(training: Trainable, process: "subprocess.Popen[bytes]", generator: random.Random) -> bool:
    """Kill it as soon as a checkpoint is being written, after some that were left alone; whether it was in time."""
    leave = generator.randrange(1, 3)
    seen: set[Path] = set()
    running = processes_in(training.folder)  # to look for them takes longer than a checkpoint
    while process.poll() is None:
        written = [path for path in training.folder.glob(".checkpoints/*/.step-*.part") if path not in seen]
        if written and leave == 0:
            time.sleep(generator.random() * 0.01)
            kill(running)
            return bool(list(training.folder.glob(".checkpoints/*/.step-*.part")))
        leave -= len(written)
        seen.update(written)
        time.sleep(0.001)
    return False


@pytest.mark.slow
def test_kills_at_any_moment_change_neither_model_nor_history_nor_mlflow(
    trainable: MakeTrainable, undisturbed: dict[int, tuple[str, str]]
) -> None:
    """From the fork server, so that more kills hit a step than an import; the test below kills an interpreter."""
    expected = run_undisturbed(trainable, undisturbed, EPOCHS)
    training = trainable("killed", **{"train.epochs": EPOCHS})
    generator = random.Random(1)
    kills = killed_in_writing = 0
    aims = cycle(["anywhere", "in training", "in writing", "in writing"])
    while kills < KILLS:
        before = len(training.log())
        process = training.start(real=False)
        aim = next(aims)
        if aim != "anywhere":
            training.wait_for("training on", process, after=before)
        if aim == "in writing":
            killed_in_writing += kill_while_it_writes(training, process, generator)
        else:
            # A checkpoint is due after one second.
            time.sleep(generator.uniform(0.1, 3) if aim == "anywhere" else generator.uniform(1.2, 2.2))
            kill(processes_in(training.folder))
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL, training.log()
        wait_until(lambda: not processes_in(training.folder))
        kills += 1
    assert kills >= KILLS, training.log()
    training.run()
    assert training.log().count("resuming from the checkpoint after step") >= KILLS // 2
    assert killed_in_writing > 0
    assert_same(training, expected)
    assert_synced_once(training, steps=len(expected[1].splitlines()))


class KilledError(BaseException):
    """Ends a training run in this process where a kill would."""


@contextmanager
def stop_after_one_step() -> Iterator[CaughtSignals]:
    yield CaughtSignals(received=signal.SIGTERM)


def kill_at_each_step_once() -> Callable[..., None]:
    """A `record_step` that ends the run after it recorded a step for the first time, before there is a checkpoint."""
    recorded: set[int] = set()

    def record(step: Step, run: fit.TrainingRun, progress: Progress) -> None:
        original(step, run, progress)
        if step.step not in recorded:
            recorded.add(step.step)
            raise KilledError

    original = fit.record_step
    return record


@pytest.mark.parametrize("way", ["signal", "kill"])
def test_a_stop_after_every_single_step_changes_neither_weights_nor_history(
    trainable: MakeTrainable, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """In this process, as often as there are steps; the test below kills real processes at random moments."""
    settings = {"train.epochs": 2, "train.batch_tokens": 1024}
    monkeypatch.setattr(sync, "sync_live", lambda _: nullcontext())
    expected = trainable("undisturbed", **settings)
    monkeypatch.chdir(expected.folder)
    train.main(Path("params.yaml"))

    training = trainable("stopped", **settings)
    monkeypatch.chdir(training.folder)
    if way == "signal":
        monkeypatch.setattr(fit, "catch_signals", stop_after_one_step)
    else:
        monkeypatch.setattr(fit, "record_step", kill_at_each_step_once())
        clock = itertools.count(step=2)  # seconds: a checkpoint is due after each step
        fast_clock = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)
        monkeypatch.setattr(fit, "time", fast_clock)
    stops = 0
    while not (training.folder / "data/model").exists():
        try:
            train.main(Path("params.yaml"))
        except (SystemExit, KilledError):
            stops += 1
            assert stops < 100, "it makes no progress"
    steps = len(expected.model()[1].splitlines())
    assert steps > 10
    assert stops == steps
    assert_same(training, expected.model())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_training_with_its_code_and_a_checkpoint(
    trainable: MakeTrainable, undisturbed: dict[int, tuple[str, str]], number: signal.Signals
) -> None:
    expected = run_undisturbed(trainable, undisturbed, 4)
    training = trainable(**{"train.epochs": 4, "runtime.checkpoint_seconds": 600})
    process = training.start()
    training.wait_for("epoch 1 of 4", process)
    process.send_signal(number)
    assert process.wait(PATIENCE) == 128 + number
    assert "the same command resumes from there" in training.log()
    assert "Traceback" not in training.log()
    assert processes_in(training.folder) == []
    assert not (training.folder / "data/model").exists()
    (checkpoint,) = training.checkpoints()
    assert f"resuming from the checkpoint after step {int(checkpoint.name[5:])}\n" in training.run()
    assert_same(training, expected)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(
    trainable: MakeTrainable, undisturbed: dict[int, tuple[str, str]]
) -> None:
    expected = run_undisturbed(trainable, undisturbed, EPOCHS)
    training = trainable(**{"train.epochs": EPOCHS})
    process = training.start()
    wait_until(lambda: len(training.checkpoints()) >= 2, training.log, process)
    process.kill()
    process.wait()
    older, newest = training.checkpoints()[-2:]
    state = bytearray((newest / "state.safetensors").read_bytes())
    state[len(state) // 2] ^= 255
    (newest / "state.safetensors").write_bytes(state)
    output = training.run()
    assert f"warning: the checkpoint {newest.relative_to(training.folder)} is not usable: " in output
    assert f"resuming from the checkpoint after step {int(older.name[5:])}\n" in output
    assert_same(training, expected)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_model_and_the_lock_file_of_another_checkout(
    tmp_path: Path, tiny_pretrained: Path, prefect_api: str
) -> None:
    command = ["run", "--stage", "train", "--set", "train.epochs=15", "--set", "runtime.checkpoint_seconds=1"]
    stopped = checkout(tmp_path / "stopped", tiny_pretrained)
    run = start([str(BIN / "tuneline"), *command], stopped.folder, PREFECT_API_URL=prefect_api)
    Trainable(stopped.folder).wait_for("epoch 1 of 15", run)
    run.terminate()
    assert run.wait(PATIENCE) == 128 + signal.SIGTERM
    wait_until(lambda: not processes_in(tmp_path))
    resumed = stopped.tuneline(*command, PREFECT_API_URL=prefect_api)
    assert "resuming from the checkpoint after step" in resumed.stderr

    undisturbed = checkout(tmp_path / "undisturbed", tiny_pretrained)
    shutil.copy(stopped.folder / "params.yaml", undisturbed.folder)
    undisturbed.command("dvc", "repro", "train")
    assert Trainable(undisturbed.folder).model() == Trainable(stopped.folder).model()
    assert (undisturbed.folder / "dvc.lock").read_bytes() == (stopped.folder / "dvc.lock").read_bytes()
