"""Several processes that train one model together, started by us or by torchrun."""

import json
import signal
from collections.abc import Callable

import psutil
import pytest

from stages.errors import TryAgainError
from tests.conftest import Trainable
from tests.processes import PATIENCE, free_port, processes_in, wait_until

MakeTrainable = Callable[..., Trainable]

TORCHRUN = ("-m", "torch.distributed.run")


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
    settings = {"train.epochs": 6, "train.processes": 2}
    undisturbed = trainable("undisturbed", **settings)
    undisturbed.run()
    for rank in (0, 1):
        training = trainable(f"killed-{rank}", **settings)
        process = training.start()
        wait_until(training.checkpoints, training.log, process)
        workers(training)[rank].kill()
        assert process.wait(PATIENCE) == TryAgainError.exit_code, training.log()
        assert f"process {rank} of 2 was ended by SIGKILL" in training.log()
        assert "resumes from the last checkpoint" in training.log()
        assert "Traceback" not in training.log()
        assert workers(training) == []
        assert "resuming from the checkpoint after step" in training.run()
        assert training.model() == undisturbed.model()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_workers_stop_with_a_checkpoint_when_their_launcher_is_stopped(
    trainable: MakeTrainable, number: signal.Signals
) -> None:
    training = trainable(**{"train.epochs": 6, "train.processes": 2, "runtime.checkpoint_seconds": 600})
    process = training.start()
    training.wait_for("epoch 1 of 6", process)
    process.send_signal(number)
    assert process.wait(PATIENCE) == (128 + number if number == signal.SIGTERM else -number)
    wait_until(lambda: not processes_in(training.folder), training.log)
    assert len(training.checkpoints()) == 1
    assert "Traceback" not in training.log()
    assert "resuming from the checkpoint after step" in training.run()


@pytest.mark.slow
def test_torchrun_starts_the_processes_on_one_machine_or_on_several(trainable: MakeTrainable) -> None:
    """Two machines are two agents here, which find each other by the rendezvous alone."""
    settings = {"train.epochs": 2, "train.processes": 2}
    ours = trainable("ours", **settings)
    ours.run()
    one = trainable("one", **settings)
    port = free_port()
    rendezvous = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "7")
    one.run(*TORCHRUN, "--nnodes", "1", "--nproc-per-node", "2", *rendezvous)
    assert one.model() == ours.model()

    two = trainable("two", **settings)
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
