"""Several processes that train one model together, started by us or by torchrun."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stages.errors import TryAgainError
from tests.checkouts import Trainable
from tests.processes import PATIENCE, free_port, processes_in, wait_until

MakeTrainable = Callable[..., Trainable]

TORCHRUN = ("-m", "torch.distributed.run")
TWO = {"train.epochs": 8, "train.processes": 2}


def losses(training: Trainable) -> list[float]:
    _, history = training.model()
    return [json.loads(line)["loss"] for line in history.splitlines()]


def workers(training: Trainable) -> list[psutil.Process]:
    """The processes that torchrun started, whose environment tells their rank."""
    found = [
        process
        for process in processes_in(training.folder)
        if "stages.train" in process.cmdline() and "RANK" in process.environ()
    ]
    return sorted(found, key=lambda process: int(process.environ()["RANK"]))


def wait_for_checkpoint_after(known: list[Path], training: Trainable, process: "subprocess.Popen[bytes]") -> None:
    wait_until(lambda: training.checkpoints()[-1:] != known[-1:], training.log, process)


def test_two_processes_take_the_steps_of_one(trainable: MakeTrainable) -> None:
    """Dropout is on: a mask belongs to a place in the batch, whoever computes it."""
    settings = {"train.precision": "fp32", "train.epochs": 3}
    alone = trainable("alone", **settings)
    alone.run()
    together = trainable("together", **settings, **{"train.processes": 2})
    together.run()
    assert len(losses(alone)) >= 50
    assert losses(together)[:50] == pytest.approx(losses(alone)[:50], abs=1e-4)
    assert losses(together) != losses(alone)  # summed in another order


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_with_a_message_and_the_next_one_resumes(trainable: MakeTrainable) -> None:
    undisturbed = trainable("undisturbed", **TWO)
    undisturbed.run()
    training = trainable("killed", **TWO)
    for rank in (0, 1):
        before, known = len(training.log()), training.checkpoints()
        process = training.start(real=False)
        wait_for_checkpoint_after(known, training, process)
        workers(training)[rank].kill()
        assert process.wait(PATIENCE) == TryAgainError.exit_code, training.log()
        output = training.log()[before:]
        assert f"process {rank} of 2 was ended by SIGKILL" in output
        assert "resumes from the last checkpoint" in output
        assert "Traceback" not in output
        assert ("resuming from the checkpoint after step" in output) == bool(known)
        assert workers(training) == []
    assert "resuming from the checkpoint after step" in training.run()
    assert training.model() == undisturbed.model()


@pytest.mark.slow
def test_workers_stop_with_a_checkpoint_when_their_launcher_is_stopped(trainable: MakeTrainable) -> None:
    training = trainable(**TWO, **{"runtime.checkpoint_seconds": 600})
    steps = [0]
    for number, code in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
        before = len(training.log())
        process = training.start()
        training.wait_for(f" of {TWO['train.epochs']}: loss", process, after=before)
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
        wait_until(lambda: not processes_in(training.folder), training.log)
        steps.append(int(training.checkpoints()[-1].name.removeprefix("step-")))
    assert "Traceback" not in training.log()
    assert 0 < steps[1] < steps[2]
    assert f"resuming from the checkpoint after step {steps[2]}\n" in training.run()


@pytest.mark.slow
def test_torchrun_on_two_machines_trains_the_model_of_two_processes_on_one(trainable: MakeTrainable) -> None:
    """Two machines are two agents here, which find each other by the rendezvous alone."""
    settings = {"train.epochs": 2, "train.processes": 2}
    ours = trainable("ours", **settings)
    ours.run()
    two = trainable("two", **settings)
    rendezvous = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "7")
    command = (*TORCHRUN, "--nnodes", "2", "--nproc-per-node", "1", "--local-addr", "127.0.0.1", *rendezvous)
    agents = [two.start(*command), two.start(*command)]
    assert [agent.wait(PATIENCE) for agent in agents] == [0, 0], two.log()
    assert two.model() == ours.model()


def test_torchrun_with_another_number_of_processes_is_refused(trainable: MakeTrainable) -> None:
    training = trainable(**{"train.processes": 1})
    output = training.run(*TORCHRUN, "--standalone", "--nproc-per-node", "2", code=1)
    assert output.count("error: torchrun started 2 processes, but train.processes is 1") == 1


def test_a_fault_of_the_input_is_reported_once(trainable: MakeTrainable) -> None:
    training = trainable(**{"train.processes": 2})
    (training.folder / "data/encoded/manifest.json").unlink()
    output = training.run(code=2)
    assert output.count("error: data/encoded/manifest.json: no such file") == 1
    assert "Traceback" not in output
