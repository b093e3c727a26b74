"""The course of a training run: steps, dev scores, checkpoints, signals."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext

from stages.errors import ArtifactError
from stages.fitting.run import INFERENCE_BATCH_TOKENS, TrainingRun
from stages.modeling.inference import keep_frozen_states
from stages.runtime.progress import progress_bar
from stages.runtime.signals import catch_signals
from stages.training.checkpoints import Checkpoints, Progress
from stages.training.history import History
from stages.training.loop import PendingStep, train

log = logging.getLogger("train")


def fit(run: TrainingRun, checkpoints: Checkpoints) -> Progress:
    """Run the training loop, resuming from the last checkpoint if there is one, and score dev after each epoch.

    A signal ends the process after the current step, with a checkpoint and the signal's exit code.
    """
    world, params = run.world, run.params.train
    progress = resume(run, checkpoints)
    for name, split in run.splits.items():
        if world.is_main_process or name == "train":
            keep_frozen_states(run.model, split, run.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
    done = world.broadcast(progress.steps)
    steps = train(
        run.model, run.weights, run.splits["train"], run.settings, run.compute, head=run.head, done=done, world=world,
        recorder=run.recorder,
    )  # fmt: skip
    due = time.monotonic() + run.params.runtime.checkpoint_seconds
    pending: list[PendingStep] = []
    with catch_signals() as signals, closing(steps):
        if world.broadcast(progress.has_stalled(params.early_stopping_patience)):
            return progress
        for queued in show_progress(steps, progress.history) if world.is_main_process else steps:
            pending.append(queued)
            is_orphan = world.size > 1 and signals.orphaned  # torchrun was killed
            stops = world.any(signals.received is not None or is_orphan)
            is_due = world.is_main_process and time.monotonic() >= due
            if is_due:
                due = time.monotonic() + run.params.runtime.checkpoint_seconds
                is_due = not checkpoints.is_writing  # a slow disk gets one at a time
            # A step is read while the device computes the next, unless its result is needed at once.
            kept = 0 if stops or is_due or queued.ends_epoch else 1
            while len(pending) > kept:
                record_step(pending.pop(0), run, progress)
            if stops:
                if world.is_main_process:
                    checkpoints.save(progress, run.weights)
                    log.info(
                        "stopped after step %d of %d; the same command resumes from there", progress.steps, queued.steps
                    )
                sys.exit(signals.exit_code)
            if world.is_main_process:
                with warn_of_missing_checkpoint():
                    checkpoints.check()
                with warn_of_missing_checkpoint():
                    if is_due:
                        checkpoints.start(progress, run.weights)
            if queued.ends_epoch and world.broadcast(progress.has_stalled(params.early_stopping_patience)):
                if world.is_main_process:
                    log.info("stopping early: %d epochs without a better dev score", params.early_stopping_patience)
                break
    return progress


def resume(run: TrainingRun, checkpoints: Checkpoints) -> Progress:
    """Load the last checkpoint, if there is one, into the weights of all processes; progress is the main process's."""
    if run.world.is_main_process:
        progress = checkpoints.restore(run.weights, run.recorder)
        if progress.steps:
            log.info("resuming from the checkpoint after step %d", progress.steps)
    else:
        progress = Progress(History(checkpoints.history_path))
    run.world.broadcast_tensors(list(run.weights.state().values()))
    run.weights.sync_model()
    return progress


def record_step(queued: PendingStep, run: TrainingRun, progress: Progress) -> None:
    """Wait for the step; in the main process, score dev if it ended an epoch, and add it to the progress.

    Of the last weights and their mean over the steps, those that score better are those of the epoch.
    """
    step = queued.read()
    if not run.world.is_main_process:
        return
    if not step.ends_epoch:
        progress.add(step, None, run.weights)
        return
    last_score = score_dev(run)
    with run.weights.averaged():
        mean_score = score_dev(run) if run.weights.averages else last_score
    is_mean_better, dev_score = mean_score > last_score, max(mean_score, last_score)
    with run.weights.averaged() if is_mean_better else nullcontext():
        progress.add(step, dev_score, run.weights)
    shown = run.task.describe_score(dev_score, run.params.task)
    of_mean = ", by the mean of the weights" if is_mean_better else ""
    log.info("epoch %d of %d: loss %.4f, dev %s %.4f%s", step.epoch, queued.epochs, step.loss, *shown, of_mean)


@contextmanager
def warn_of_missing_checkpoint() -> Iterator[None]:
    """While active, a full disk is a warning, since there may be space when the next checkpoint is due."""
    try:
        yield
    except ArtifactError as error:
        log.warning("warning: %s", error)


def show_progress(steps: Iterator[PendingStep], history: History) -> Iterator[PendingStep]:
    """Yield the same steps and show a progress bar with tokens per second, the time left and the last recorded loss."""
    started, seen = time.perf_counter(), 0
    first = next(steps, None)
    if first is None:
        return
    with progress_bar(total=first.steps, done=len(history.entries), unit="step", description="train") as progress:
        queued: PendingStep | None = first
        while queued is not None:
            seen += queued.tokens
            speed = seen / (time.perf_counter() - started)
            last = history.entries[-1].step if history.entries else None
            state = f"epoch {last.epoch}, loss {last.loss:.3f}, " if last else ""
            progress.set_postfix_str(f"{state}{speed:,.0f} tokens/s", refresh=False)
            progress.update()
            paused = time.perf_counter()
            yield queued
            started += time.perf_counter() - paused  # the caller's work, such as scoring dev, is not training
            queued = next(steps, None)


def score_dev(run: TrainingRun) -> float:
    """The primary score on dev; higher is better, so that of an error is negative."""
    dev = run.splits["dev"]
    predicted = run.task.predict(run.model, dev, run.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
    return run.task.score(predicted, dev, run.manifest, run.params.task)
