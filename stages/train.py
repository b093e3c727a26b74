"""train: data/encoded and pretrained weights -> data/model, the epoch with the best dev F1.

With train.processes over 1 this starts so many of itself, by torchrun's launcher. On several machines start on each:
`torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m stages.train`.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.artifacts import atomic_write, file_digest, folder_digest, json_digest
from stages.config.train import Params, TrainParams
from stages.encoding.files import EncodedSplit, Manifest, read_manifest, read_split
from stages.encoding.tokenizer import load_tokenizer
from stages.errors import ArtifactError, ParamsError
from stages.modeling.device import Compute, choose_compute, move_to, set_deterministic
from stages.modeling.pretrained import WEIGHTS, find_pretrained
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.runtime.launch import launch, started_by_torchrun
from stages.runtime.progress import bar
from stages.runtime.signals import catch_signals
from stages.tasks.token_classification.entities import Tagging, strict_f1
from stages.tasks.token_classification.head import load_classifier
from stages.tasks.token_classification.inference import INFERENCE_BATCH_TOKENS, predict
from stages.tracking import sync
from stages.tracking.environment import execution
from stages.tracking.event_log import EventLog
from stages.training.checkpoints import Checkpoints, Progress
from stages.training.distributed import Processes, process_group
from stages.training.loop import Settings, Step, train
from stages.training.optimizer import MasterWeights
from stages.training.record import write_record

ENCODED = Path("data/encoded")
MODEL = Path("data/model")

log = logging.getLogger("train")


@dataclass(frozen=True)
class Training:
    """What a training works on, in each of its processes."""

    params: Params
    model: PreTrainedModel
    weights: MasterWeights
    splits: dict[str, EncodedSplit]
    labels: list[str]
    compute: Compute
    processes: Processes


def main(params_file: Path) -> None:
    """Train, score dev after each epoch, keep the best epoch, write data/model."""
    params = load_params(params_file, Params)
    if params.train.processes > 1 and not started_by_torchrun():
        launch("stages.train", params_file, processes=params.train.processes)
        return
    with process_group() as processes:
        train_model(params, processes)


def train_model(params: Params, processes: Processes) -> None:
    """What `main` says, in one of the processes that train together."""
    if processes.count != params.train.processes:
        raise ParamsError(
            f"torchrun started {processes.count} processes, but train.processes is {params.train.processes}. "
            "The number decides how sums are rounded, so the two must be equal."
        )
    compute = choose_compute(params.runtime.device, params.train.precision)
    set_deterministic(seed=params.train.seed, threads=params.train.threads)

    manifest = read_manifest(ENCODED)
    splits = {split: read_split(ENCODED, split) for split in ("train", "dev")}
    pretrained = find_pretrained(**params.model.model_dump())
    machine = {
        "device": compute.device.type,
        "precision": compute.precision,
        "threads": torch.get_num_threads(),
    }
    record: dict[str, Any] = {
        "train_key": key_of(manifest, pretrained, params.train, machine),
        "parameters": {**params.model_dump(include={"model", "train"}), "tokenize": manifest.parameters},
        "datasets": {split: {"digest": manifest.digests[split], **manifest.counts[split]} for split in manifest.counts},
        **machine,
    }

    tokenizer = load_tokenizer(pretrained)
    model = load_classifier(pretrained, labels=manifest.labels, dropout=params.train.dropout)
    weights = MasterWeights(
        model,
        compute,
        vocabulary=torch.from_numpy(np.unique(splits["train"].input_ids)).long(),
        weight_decay=params.train.weight_decay,
        layerwise_lr_decay=params.train.layerwise_lr_decay,
        head_lr_multiplier=params.train.head_lr_multiplier,
    )
    training = Training(params, model, weights, splits, manifest.labels, compute, processes)
    checkpoints = Checkpoints(Path(params.runtime.checkpoint_dir) / record["train_key"])
    event_log = EventLog(record["train_key"])
    if processes.is_main_process:
        event_log.begin(record)
        log.info("training on %(device)s in %(precision)s with %(threads)d threads", record)
    else:
        logging.getLogger().setLevel(logging.WARNING)

    with ExitStack() as stack:
        if processes.is_main_process:
            stack.enter_context(held(checkpoints.folder))
            stack.enter_context(sync.sync_live(event_log))
        progress = fit(training, checkpoints, event_log)
        if not processes.is_main_process:
            return
        record |= {"best_epoch": progress.best_epoch, "dev_f1": progress.dev_f1}
        write_model(model, weights.by_name(progress.best_masters), tokenizer, progress.history, record)
        checkpoints.remove()
        log.info("kept epoch %d with dev F1 %.4f", progress.best_epoch, max(progress.dev_f1))
        event_log.log_execution("train", folder_digest(MODEL), execution())
        event_log.end()


@contextmanager
def held(checkpoints: Path) -> Iterator[None]:
    """Within, no other training writes these checkpoints; wait for one that does, on whichever machine shares them."""
    checkpoints.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{checkpoints}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for the other process that trains the same, and holds %s", lock.lock_file)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def key_of(manifest: Manifest, pretrained: Path, params: TrainParams, machine: dict[str, Any]) -> str:
    """The identity of a training: SHA-256 over its data, its start, its parameters, and what rounds its sums."""
    return json_digest(
        {
            "encoded": manifest.digest,
            "pretrained": file_digest(pretrained / WEIGHTS),
            "pretrained_config": file_digest(pretrained / "config.json"),
            "parameters": params.model_dump(),
            "machine": machine,
        }
    )


def fit(training: Training, checkpoints: Checkpoints, event_log: EventLog) -> Progress:
    """Run the loop, from the last checkpoint on if there is one, and score dev after each epoch.

    A signal ends the process after the step in hand, with a checkpoint and the signal's exit code.
    """
    processes, params = training.processes, training.params.train
    progress = resume(training, checkpoints, event_log)
    done = processes.broadcast(len(progress.history))
    settings = Settings(**params.model_dump(include=set(Settings.__dataclass_fields__)))
    steps = train(
        training.model, training.weights, training.splits["train"], settings, training.compute,
        done=done, processes=processes,
    )  # fmt: skip
    saved = time.monotonic()
    with catch_signals() as signals:
        if processes.broadcast(progress.has_stalled(params.early_stopping_patience)):
            return progress
        for step in watched(steps, done=done) if processes.is_main_process else steps:
            if processes.is_main_process:
                note(step, training, progress, event_log)
            left_alone = processes.count > 1 and signals.orphaned  # torchrun was killed
            if processes.any(signals.received is not None or left_alone):
                if processes.is_main_process:
                    checkpoints.save(progress, training.weights)
                    log.info("stopped after step %d of %d; the same command goes on from there", step.step, step.steps)
                sys.exit(signals.exit_code)
            if processes.is_main_process and time.monotonic() - saved >= training.params.runtime.checkpoint_seconds:
                save_if_possible(checkpoints, progress, training.weights)
                saved = time.monotonic()
            if step.ends_epoch and processes.broadcast(progress.has_stalled(params.early_stopping_patience)):
                if processes.is_main_process:
                    log.info("stopping early: %d epochs without a better dev F1", params.early_stopping_patience)
                break
    return progress


def resume(training: Training, checkpoints: Checkpoints, event_log: EventLog) -> Progress:
    """Where the training stands: as the last checkpoint has it, in all processes, or at its beginning."""
    progress = checkpoints.restore(training.weights) if training.processes.is_main_process else Progress()
    if progress.history:
        log.info("going on from the checkpoint after step %d", len(progress.history))
        dev_f1 = iter(progress.dev_f1)
        for step in progress.history:
            event_log.log_step(asdict(step))
            if step.ends_epoch:
                event_log.log_epoch(next(dev_f1), step.step)
    training.processes.broadcast_tensors(list(training.weights.state().values()))
    training.weights.sync_model()
    return progress


def note(step: Step, training: Training, progress: Progress, event_log: EventLog) -> None:
    """Write down a step, and score dev after the last one of an epoch."""
    progress.history.append(step)
    event_log.log_step(asdict(step))
    if step.ends_epoch:
        f1 = score_dev(training)
        progress.score(f1, training.weights)
        event_log.log_epoch(f1, step.step)
        log.info("epoch %d of %d: loss %.4f, dev F1 %.4f", step.epoch, training.params.train.epochs, step.loss, f1)


def save_if_possible(checkpoints: Checkpoints, progress: Progress, weights: MasterWeights) -> None:
    """Write a checkpoint; a disk that is full stops no training, for there may be space when the next one is due."""
    try:
        checkpoints.save(progress, weights)
    except ArtifactError as error:
        log.warning("warning: no checkpoint of step %d: %s", len(progress.history), error)


def watched(steps: Iterator[Step], *, done: int) -> Iterator[Step]:
    """The same steps, with a progress bar that tells epoch, loss, words per second and the time left."""
    started, seen = time.perf_counter(), 0
    first = next(steps, None)
    if first is None:
        return
    with bar(total=first.steps, done=done, unit="step", description="train") as progress:
        step: Step | None = first
        while step is not None:
            seen += step.words
            speed = seen / (time.perf_counter() - started)
            progress.set_postfix_str(f"epoch {step.epoch}, loss {step.loss:.3f}, {speed:,.0f} words/s", refresh=False)
            progress.update()
            paused = time.perf_counter()
            yield step
            started += time.perf_counter() - paused  # what the caller does, such as scoring dev, is not training
            step = next(steps, None)


def score_dev(training: Training) -> float:
    """Entity F1 (strict, micro) on the dev split."""
    dev = training.splits["dev"]
    predictions = predict(training.model, dev, training.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
    gold, predicted = (
        Tagging(ids_W, dev.word_bounds, tuple(training.labels))
        for ids_W in (predictions.gold_W, predictions.predicted_W)
    )
    return strict_f1(gold, predicted)


def write_model(
    model: PreTrainedModel,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerFast,
    history: list[Step],
    record: dict[str, Any],
) -> None:
    """Write data/model: `weights` in fp32 in the Hugging Face layout, the record, the history of steps."""
    move_to(model, Compute(torch.device("cpu"), torch.float32))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    with atomic_write(MODEL) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_record(folder, record)
        with (folder / "history.jsonl").open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(asdict(step), sort_keys=True) + "\n" for step in history)


if __name__ == "__main__":
    run_recipe(main)
