"""Promises that concern processes and files: kills, checkpoints, several processes."""

import os
import signal
import socket
import threading
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file, save_file

from stages.training.checkpoints import STATE, Checkpoints, Progress
from stages.training.distributed import process_group
from tests.gpu.children import Child
from tests.gpu.correctness import relative_differences, watch_for_waiting
from tests.gpu.workload import Run, SkippedError, Target, digest, settings_for, split_for, start

PROCESSES_BOUND = 1e-3  # of a step's loss, relative: the sums of two processes are rounded differently
SAVED_AT, KILLED_AT = 4, 7  # steps
HELD_SECONDS = 15  # at most: a run that waits for its checkpoint goes on then, and the part fails


def kill_and_resume(target: Target) -> None:
    """A run killed by SIGKILL three steps after its checkpoint, resumed from it, ends with the same bytes.

    The losses of its history are those of an undisturbed run, too: bf16, with dropout.
    """
    folder = target.folder / "checkpoints"
    assert Child(train_with_checkpoints, target, folder, KILLED_AT).wait() is None, "the process was not killed"
    resumed = Child(train_with_checkpoints, target, folder, None).wait()
    undisturbed = Child(train_with_checkpoints, target, target.folder / "undisturbed", None).wait()
    target.record(resumed_after=resumed["resumed_after"], steps=len(undisturbed["losses"]))
    assert resumed["resumed_after"] == SAVED_AT, f"it resumed after step {resumed['resumed_after']}"
    assert resumed["losses"] == undisturbed["losses"], "the history differs"
    assert resumed["digest"] == undisturbed["digest"], "the weights differ"


def train_with_checkpoints(target: Target, folder: Path, killed_at: int | None) -> dict[str, Any]:
    """Train from the last checkpoint in `folder`, if there is one; the kill comes while a step is in flight."""
    shape, compute = target.shapes[1], target.compute("bf16")
    settings = settings_for(target, batch_tokens=4096)
    split = split_for(target, shape, tokens=45_000)
    checkpoints = Checkpoints(folder)
    progress = checkpoints.restore(start(split, shape, settings, compute).weights)
    resumed_after = progress.steps
    run = start(split, shape, settings, compute, done=resumed_after)
    if resumed_after:
        progress = checkpoints.restore(run.weights)
    with checkpoints.finishing():
        for step in run.pending:
            if step.step == killed_at:
                checkpoints.wait()
                os.kill(os.getpid(), signal.SIGKILL)
            progress.add(step.read(), None, run.weights)
            if progress.steps == SAVED_AT:
                checkpoints.start(progress, run.weights)
    losses = [entry.step.loss for entry in progress.history.entries]
    return {"resumed_after": resumed_after, "losses": losses, "digest": run.digest()}


def checkpoint_while_training(target: Target) -> None:
    """While a checkpoint is being written steps are taken, and its file holds the state of the step that it is of.

    Its writer is held up until three further steps are done. To start one waits for the device neither.
    """
    shape = target.shapes[1]
    for precision in ("bf16", "fp32"):
        checkpoints = Checkpoints(target.folder / precision)
        split, settings = split_for(target, shape, tokens=45_000), settings_for(target, batch_tokens=4096)
        run = start(split, shape, settings, target.compute(precision))
        progress = checkpoints.restore(run.weights)
        go_on = threading.Event()

        def write_late(*arguments: Any, go_on: threading.Event = go_on) -> None:
            go_on.wait(HELD_SECONDS)
            save_file(*arguments)

        with checkpoints.finishing():
            take_steps(run, progress, 1)
            checkpoints.save(progress, run.weights)  # the first allocates the memory that the others use
            take_steps(run, progress, SAVED_AT - 1)
            expected = run.digest()
            with mock.patch("stages.training.checkpoints.save_file", write_late):
                with watch_for_waiting(target):
                    checkpoints.start(progress, run.weights)
                take_steps(run, progress, 3)
                assert checkpoints.is_writing, "no step was taken while the checkpoint was being written"
                go_on.set()
                checkpoints.wait()
        written = load_file(target.folder / precision / f"step-{SAVED_AT:08}" / STATE)
        assert run.digest() != expected
        assert digest(written) == expected, "the file does not hold the state of its step"


def take_steps(run: Run, progress: Progress, count: int) -> None:
    """Take some steps and add them to the progress."""
    for step in islice(run.pending, count):
        progress.add(step.read(), None, run.weights)


def two_processes(target: Target) -> None:
    """Two processes, a GPU each, take the steps of one: losses within a thousandth, weights of both the same bits.

    Over NCCL, or over gloo on a CPU; in fp32, without dropout.
    """
    devices = Child(torch.cuda.device_count).wait() if target.is_cuda else 2  # asked here, it could not fork any more
    if devices < 2:
        raise SkippedError("it needs two GPUs, and there is one")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pair = [Child(train_in_a_group, target, rank, port) for rank in range(2)]
    results = [child.wait() for child in pair]
    alone = Child(train_in_a_group, target, 0, None).wait()
    differences = relative_differences(results[0]["losses"], alone["losses"])
    target.record(backend="nccl" if target.is_cuda else "gloo", largest_difference=max(differences))
    assert results[0]["digest"] == results[1]["digest"], "the two processes hold different weights"
    assert max(differences) <= PROCESSES_BOUND, differences


def train_in_a_group(target: Target, rank: int, port: int | None) -> dict[str, Any]:
    """Train as one of two processes that meet at that port, or alone."""
    if port:
        os.environ |= {
            "TORCHELASTIC_RUN_ID": "gpu", "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
    shape = target.shapes[1]
    split = split_for(target, shape, tokens=40_000)
    with process_group() as world:
        settings = settings_for(target, batch_tokens=4096)
        run = start(split, shape, settings, target.compute("fp32"), dropout=0.0, world=world)
        return {"losses": [step.loss for step in run.finish()], "digest": run.digest()}
