"""train: data/encoded and pretrained weights -> data/model, the epoch with the best score on dev.

If train.processes is over 1, torchrun's launcher starts as many processes. For several machines, start on each of them:
`torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m stages.train`.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock, Timeout
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.adaptation.adapt import adapt_model, count_weights, fill_weights
from stages.adaptation.lora import find_adapters, merge_adapters, write_adapters
from stages.artifacts import atomic_write, file_digest, folder_digest, json_digest
from stages.config.sections import load_task_params
from stages.config.train import Params
from stages.encoding.files import Manifest, read_manifest
from stages.encoding.tokenizer import load_tokenizer
from stages.errors import ArtifactError, ParamsError
from stages.modeling.device import Compute, choose_compute, move_to, peak_memory, set_deterministic
from stages.modeling.head import Head, TaskModel, load_model
from stages.modeling.inference import keep_frozen_states
from stages.modeling.pretrained import WEIGHTS, find_pretrained
from stages.runtime.entry_point import run_recipe
from stages.runtime.launch import is_torchrun_child, launch
from stages.runtime.progress import progress_bar
from stages.runtime.project import project_folder
from stages.runtime.signals import catch_signals
from stages.task import load_part
from stages.tracking import sync
from stages.tracking.environment import current_execution
from stages.tracking.event_log import EventLog
from stages.training.checkpoints import Checkpoints, Progress
from stages.training.distributed import World, process_group
from stages.training.history import Entry, History, write_history
from stages.training.loop import PendingStep, Settings, train
from stages.training.optimizer import MasterWeights, find_vocabulary
from stages.training.record import TrainingRecord, write_training

ENCODED = Path("data/encoded")
MODEL = Path("data/model")
INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory

log = logging.getLogger("train")


@dataclass(frozen=True)
class TrainingRun:
    """What a training run works on, in each of its processes."""

    params: Params
    manifest: Manifest
    task: TaskModel
    head: Head
    model: PreTrainedModel
    weights: MasterWeights
    splits: dict[str, Any]  # as the task reads them
    compute: Compute
    world: World


def main(params_file: Path) -> None:
    """Train, score dev after each epoch, keep the best epoch, write data/model."""
    params = load_task_params(params_file, Params)
    if params.train.processes > 1 and not is_torchrun_child():
        launch("stages.train", params_file, processes=params.train.processes)
        return
    with process_group() as world:
        train_model(params, world, params_file.parent)


def train_model(params: Params, world: World, place: Path) -> None:
    """Train in one of the processes that train together; `place` is the folder of the pipeline."""
    if world.size != params.train.processes:
        raise ParamsError(
            f"torchrun started {world.size} processes, but train.processes is {params.train.processes}. "
            "Their number decides how sums are rounded, so the two must be equal."
        )
    started = time.perf_counter()
    compute = choose_compute(params.runtime.device, params.train.precision)
    set_deterministic(seed=params.train.seed, threads=params.train.threads)

    manifest = read_manifest(place / ENCODED)
    task = cast(TaskModel, load_part(manifest.task, "model.head"))
    splits = {split: task.read_split(place / ENCODED, split, manifest, params.task) for split in ("train", "dev")}
    pretrained = find_pretrained(**params.model.encoder)
    machine: dict[str, Any] = {
        "device": compute.device.type,
        "precision": compute.precision,
        "threads": torch.get_num_threads(),
    }
    record = TrainingRecord(
        train_key=compute_train_key(manifest, pretrained, params, machine),
        parameters={
            **params.model_dump(include={"task", "train"}),
            "model": params.model.encoder | params.model.adaptation,
            "tokenize": manifest.parameters,
        },
        datasets={split: {"digest": manifest.digests[split], **manifest.counts[split]} for split in manifest.counts},
        best_epoch=0,
        dev_score=[],
        decision={},
        **machine,
    )

    tokenizer = load_tokenizer(pretrained)
    model = load_model(task, pretrained, labels=manifest.labels, dropout=params.train.dropout)
    model.config.update(manifest.details.get("config", {}))
    adapt_model(model, **params.model.adaptation)
    head = task.make_head(model, params.task, manifest, compute, label_smoothing=params.train.label_smoothing)
    record = replace(record, weights=count_weights(model))
    weights = MasterWeights(
        model,
        compute,
        vocabulary=find_vocabulary(model, splits["train"].input_ids),
        weight_decay=params.train.weight_decay,
        layerwise_lr_decay=params.train.layerwise_lr_decay,
        head_lr_multiplier=params.train.head_lr_multiplier,
        average_weights=params.train.average_weights,
    )
    run = TrainingRun(params, manifest, task, head, model, weights, splits, compute, world)
    checkpoints = Checkpoints(project_folder() / params.runtime.checkpoint_dir / record.train_key)
    event_log = EventLog(record.train_key, live_history=checkpoints.history_path)
    if world.is_main_process:
        event_log.begin(record.logged_parameters, record.datasets)
        log.info("training on %(device)s in %(precision)s with %(threads)d threads", machine)
        log.info("training %(trained)s of %(all)s weights", {k: f"{n:,}" for k, n in record.weights.items()})
    else:
        logging.getLogger().setLevel(logging.WARNING)

    with ExitStack() as stack:
        if world.is_main_process:
            stack.enter_context(lock_checkpoints(checkpoints.folder))
            stack.enter_context(checkpoints.finishing())
            stack.enter_context(sync.sync_live(event_log))
        progress = fit(run, checkpoints)
        if not world.is_main_process:
            return
        history = progress.history
        record = replace(record, best_epoch=progress.best_epoch, dev_score=history.dev_score)
        write_model(run, weights.by_name(progress.best_masters), tokenizer, history.entries, record, place / MODEL)
        event_log.keep_history(entry.to_json() for entry in history.entries)
        checkpoints.remove()
        seconds, memory = time.perf_counter() - started, peak_memory(compute.device)
        event_log.log_metrics({"training": {"seconds": seconds, "peak_memory_bytes": memory}})
        log.info("took %.0f s and at most %s MB of memory", seconds, f"{memory / 1e6:,.0f}")
        log.info(
            "kept epoch %d with dev %s %.4f",
            record.best_epoch,
            *task.describe_score(max(record.dev_score), params.task),
        )
        event_log.log_execution("train", folder_digest(place / MODEL), current_execution())
        event_log.end()


@contextmanager
def lock_checkpoints(folder: Path) -> Iterator[None]:
    """Hold the lock of a training run's checkpoints; wait for a process that does, on any machine that shares them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process that runs the same training and holds %s", lock.lock_file)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def compute_train_key(manifest: Manifest, pretrained: Path, params: Params, machine: dict[str, Any]) -> str:
    """SHA-256 over all that decides the outcome: data, pretrained weights, parameters, and what rounds the sums."""
    return json_digest(
        {
            "encoded": manifest.digest,
            "pretrained": file_digest(pretrained / WEIGHTS),
            "pretrained_config": file_digest(pretrained / "config.json"),
            "adaptation": params.model.adaptation,
            "task": params.task.model_dump(),
            "parameters": params.train.model_dump(),
            "machine": machine,
        }
    )


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
    settings = Settings(**params.model_dump(include=set(Settings.__dataclass_fields__)))
    steps = train(
        run.model, run.weights, run.splits["train"], settings, run.compute, head=run.head, done=done, world=world
    )
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
        progress = checkpoints.restore(run.weights)
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


def write_model(
    run: TrainingRun,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerFast,
    history: list[Entry],
    record: TrainingRecord,
    target: Path,
) -> None:
    """Write data/model: the model in fp32 in the Hugging Face layout, the training record, the history.

    `weights` are the trained ones. What the task fits on dev with these weights goes into the record.
    """
    model, dev = run.model, run.splits["dev"]
    move_to(model, Compute(torch.device("cpu"), torch.float32))
    encoder = run.params.model.encoder
    fill_weights(model, weights, lambda: load_model(run.task, find_pretrained(**encoder), labels=run.manifest.labels))
    adapters = find_adapters(model)
    merge_adapters(model)
    with atomic_write(target) as folder:
        model.save_pretrained(folder)
        if adapters:
            write_adapters(folder, weights)
        tokenizer.save_pretrained(folder)
        write_history(folder, history)
        move_to(model, run.compute)
        predicted = run.task.predict(model, dev, run.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
        decision = run.task.fit_decision(predicted, dev, run.manifest, run.params.task)
        write_training(folder, replace(record, decision=decision))


if __name__ == "__main__":
    run_recipe(main)
