"""A training that is stopped in any way and run again ends with the bytes of one that nobody disturbed."""

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from stages.tracking.event_log import FINAL
from tests.conftest import Trainable, checkout
from tests.processes import BIN, PATIENCE, processes_in, start, wait_until

MakeTrainable = Callable[..., Trainable]

KILLS_PER_TRAINING = 8
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[str, str]]:
    """What undisturbed trainings made, by their number of epochs."""
    return {}


def run_undisturbed(trainable: MakeTrainable, known: dict[int, tuple[str, str]], epochs: int) -> tuple[str, str]:
    if epochs not in known:
        training = trainable("undisturbed", **{"train.epochs": epochs})
        training.run()
        known[epochs] = training.model()
    return known[epochs]


def assert_told_once(training: Trainable, steps: int) -> None:
    """Each point of the curves is in the event_log once, and in the one MLflow run of the store."""
    from mlflow import MlflowClient

    (path,) = training.folder.glob(".tuneline/journal/*.jsonl")
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [event["kind"] for event in events if event["kind"] != "metrics"] == ["begin", "executed", "end"]
    points = Counter(
        (name, event["step"])
        for event in events
        if event["kind"] == "metrics" and event["step"] != FINAL
        for name in event["values"]
    )
    assert set(points.values()) == {1}
    assert sorted(step for name, step in points if name == "train/loss") == list(range(1, steps + 1))

    client = MlflowClient(f"sqlite:///{training.folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tuneline").experiment_id])
    assert run.info.status == "FINISHED"
    for name in ("train/loss", "dev/entity_strict_f1"):
        told = [metric.step for metric in client.get_metric_history(run.info.run_id, name)]
        assert sorted(told) == sorted(step for of, step in points if of == name)


def assert_same(training: Trainable, expected: tuple[str, str]) -> None:
    digest, history = training.model()
    assert history == expected[1]
    assert digest == expected[0]
    lines = [json.loads(line) for line in history.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, lines[0]["steps"] + 1))
    assert not training.checkpoints()


def kill_while_it_writes(training: Trainable, process: "subprocess.Popen[bytes]", generator: random.Random) -> bool:
    """Kill it as soon as a checkpoint is being written, after some that were left alone; whether it was in time."""
    leave = generator.randrange(1, 3)
    seen: set[Path] = set()
    while process.poll() is None:
        written = [path for path in training.folder.glob(".checkpoints/*/.step-*.part") if path not in seen]
        if written and leave == 0:
            time.sleep(generator.random() * 0.01)
            process.kill()
            process.wait()
            return bool(list(training.folder.glob(".checkpoints/*/.step-*.part")))
        leave -= len(written)
        seen.update(written)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_kills_at_any_moment_change_neither_model_nor_history_nor_what_mlflow_has(
    trainable: MakeTrainable, undisturbed: dict[int, tuple[str, str]], seed: int
) -> None:
    expected = run_undisturbed(trainable, undisturbed, 20)
    training = trainable("killed", **{"train.epochs": 20})
    generator = random.Random(seed)
    kills = killed_in_writing = 0
    aims = cycle(["anywhere", "in training", "in writing", "in writing"])
    while kills < KILLS_PER_TRAINING:
        before = len(training.log())
        process = training.start()
        aim = next(aims)
        if aim == "in writing":
            killed_in_writing += kill_while_it_writes(training, process, generator)
        elif aim == "in training":
            training.wait_for("training on", process, after=before)
            time.sleep(1.2 + generator.random())  # a checkpoint is due after one second
            process.kill()
        else:
            time.sleep(generator.uniform(0.5, 9))
            process.kill()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL, training.log()
        kills += 1
    assert kills >= KILLS_PER_TRAINING, training.log()
    training.run()
    assert training.log().count("going on from the checkpoint after step") >= KILLS_PER_TRAINING // 2
    assert killed_in_writing > 0
    assert_same(training, expected)
    assert_told_once(training, steps=len(expected[1].splitlines()))


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
    assert "the same command goes on from there" in training.log()
    assert "Traceback" not in training.log()
    assert processes_in(training.folder) == []
    assert not (training.folder / "data/model").exists()
    (checkpoint,) = training.checkpoints()
    assert f"going on from the checkpoint after step {int(checkpoint.name[5:])}\n" in training.run()
    assert_same(training, expected)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(
    trainable: MakeTrainable, undisturbed: dict[int, tuple[str, str]]
) -> None:
    expected = run_undisturbed(trainable, undisturbed, 12)
    training = trainable(**{"train.epochs": 12})
    process = training.start()
    wait_until(lambda: len(training.checkpoints()) >= 2, training.log, process)
    process.kill()
    process.wait()
    older, newest = training.checkpoints()[-2:]
    state = bytearray((newest / "state.safetensors").read_bytes())
    state[len(state) // 2] ^= 255
    (newest / "state.safetensors").write_bytes(state)
    told = training.run()
    assert f"warning: the checkpoint {newest.relative_to(training.folder)} is not usable: " in told
    assert f"going on from the checkpoint after step {int(older.name[5:])}\n" in told
    assert_same(training, expected)


@pytest.mark.slow
def test_a_checkpoint_whose_every_file_is_damaged_in_turn_is_never_taken(
    trainable: MakeTrainable, undisturbed: dict[int, tuple[str, str]]
) -> None:
    """Damage in progress.json too, which holds the history that ends up in data/model."""
    training = trainable(**{"train.epochs": 4, "runtime.checkpoint_seconds": 600})
    process = training.start()
    training.wait_for("epoch 1 of 4", process)
    process.terminate()
    process.wait()
    (checkpoint,) = training.checkpoints()
    kept = training.folder / "kept"
    shutil.copytree(checkpoint, kept)
    for damaged in ("best.safetensors", "progress.json"):
        shutil.rmtree(checkpoint.parent)
        shutil.copytree(kept, checkpoint)
        content = bytearray((checkpoint / damaged).read_bytes())
        place = content.index(b'"loss": ') + len(b'"loss": ') if damaged.endswith(".json") else len(content) - 5
        content[place] = ord("7") if content[place] != ord("7") else ord("8")
        (checkpoint / damaged).write_bytes(content)
        process = training.start()
        before = len(training.log())
        training.wait_for("training on", process, after=before)
        training.wait_for("epoch 1 of 4", process, after=before)  # from the beginning
        process.kill()
        process.wait()
        assert f"warning: the checkpoint {checkpoint.relative_to(training.folder)}" in training.log()[before:]


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_model_and_the_lock_file_of_another_checkout(
    tmp_path: Path, tiny_pretrained: Path, prefect_api: str
) -> None:
    made = []
    for name in ("stopped", "undisturbed"):
        project = checkout(tmp_path / name, tiny_pretrained)
        command = ["run", "--set", "train.epochs=15", "--set", "runtime.checkpoint_seconds=1"]
        if name == "stopped":
            run = start([str(BIN / "tuneline"), *command], project.folder, PREFECT_API_URL=prefect_api)
            training = Trainable(project.folder)
            training.wait_for("epoch 1 of 15", run)
            run.terminate()
            assert run.wait(PATIENCE) == 128 + signal.SIGINT
            wait_until(lambda: not processes_in(tmp_path))
        finished = project.tuneline(*command, PREFECT_API_URL=prefect_api)
        assert ("going on from the checkpoint after step" in finished.stderr) == (name == "stopped")
        made.append((Trainable(project.folder).model(), (project.folder / "dvc.lock").read_bytes()))
    assert made[0] == made[1]
