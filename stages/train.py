"""train: data/encoded and pretrained weights -> data/model, the epoch with the best score on dev.

If train.processes is over 1, torchrun's launcher starts as many processes. For several machines, start on each of them:
`torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m stages.train`.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock, Timeout

from stages.adaptation.adapt import count_weights
from stages.artifacts import WEIGHTS, file_digest, folder_digest, json_digest
from stages.config.sections import load_task_params
from stages.config.train import Params
from stages.encoding.files import Manifest, read_manifest
from stages.encoding.tokenizer import load_tokenizer
from stages.errors import ParamsError
from stages.fitting.fit import fit
from stages.fitting.output import write_model
from stages.fitting.run import make_run
from stages.modeling.device import choose_compute, peak_memory, set_deterministic
from stages.modeling.head import TaskModel
from stages.modeling.pretrained import find_pretrained
from stages.runtime.entry_point import run_recipe
from stages.runtime.launch import is_torchrun_child, launch
from stages.runtime.project import project_folder
from stages.task import load_part
from stages.tracking import sync
from stages.tracking.environment import current_execution
from stages.tracking.event_log import EventLog
from stages.tracking.parent import fetch_parent
from stages.training.checkpoints import Checkpoints
from stages.training.distributed import World, process_group
from stages.training.record import TrainingRecord

ENCODED = Path("data/encoded")
MODEL = Path("data/model")

log = logging.getLogger("train")


def main(params_file: Path) -> None:
    """Train, score dev after each epoch, keep the best epoch, write data/model."""
    params = load_task_params(params_file, Params)
    fetch_parent(params.model.encoder, task=params.task.name)
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

    run = make_run(params, manifest, task, splits, pretrained, compute, world)
    record = replace(record, weights=count_weights(run.model))
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
        trained, tokenizer = run.weights.by_name(progress.best_masters), load_tokenizer(pretrained)
        write_model(run, trained, tokenizer, history.entries, record, place / MODEL)
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


if __name__ == "__main__":
    run_recipe(main)
