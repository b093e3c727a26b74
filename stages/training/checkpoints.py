"""Checkpoints of a training run: a run that was killed resumes from the last one and ends with the same bytes.

<runtime.checkpoint_dir>/<train key>/
    history.jsonl           every step so far with its dev scores; see history.py
    step-00000120/
        state.safetensors   master weights, and moments of the optimizer
        best.safetensors    master weights after the best epoch so far, once there is one
        progress.json       the number of steps, the digest of their history and of the other two files, and its own

Learning rates, batches and dropout masks follow from the number of a step (see loop.py), so no random generator has a
state to save. A checkpoint is written to a temporary name, flushed and renamed: it is complete or absent. The last two
are kept. No pickle is read.
"""

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stages.artifacts import atomic_write, file_digest, json_digest, read_versioned, write_json
from stages.errors import ArtifactError
from stages.training.history import FILE, History, Step
from stages.training.optimizer import MasterWeights

FORMAT_VERSION = 2
KEPT = 2
STATE, BEST, PROGRESS = "state.safetensors", "best.safetensors", "progress.json"

log = logging.getLogger("train")


@dataclass
class Progress:
    """The history of a training run, and the master weights after its best epoch."""

    history: History
    best_masters: list[torch.Tensor] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """The number of steps so far."""
        return len(self.history.entries)

    @property
    def best_epoch(self) -> int:
        """The first of the epochs with the best dev F1, counted from 1; 0 before the end of the first epoch."""
        dev_f1 = self.history.dev_f1
        return dev_f1.index(max(dev_f1)) + 1 if dev_f1 else 0

    def add(self, step: Step, dev_f1: float | None, weights: MasterWeights) -> None:
        """Add a step, with the dev F1 if it ended an epoch; keep the weights if that is the best so far."""
        self.history.append(step, dev_f1)
        if dev_f1 is not None and self.best_epoch == len(self.history.dev_f1):
            self.best_masters = weights.snapshot()

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought no better dev F1; never, if that is 0."""
        return 0 < patience <= len(self.history.dev_f1) - self.best_epoch


class Checkpoints:
    """The checkpoints of one training run, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history_path = folder / FILE
        self._best_file: tuple[int, Path] | None = None  # the best epoch, and the last file with its weights

    def save(self, progress: Progress, weights: MasterWeights) -> None:
        """Write a checkpoint of the weights after the last step of `progress`.

        ArtifactError if it cannot be written; earlier ones stay.
        """
        target = self.folder / f"step-{progress.steps:08}"
        if target.exists():
            return
        progress.history.flush()
        with atomic_write(target) as folder:
            folder.mkdir()
            save_file({name: value.cpu() for name, value in weights.state().items()}, folder / STATE)
            if progress.best_epoch:
                self._write_best(progress, folder / BEST)
            fields = {
                "format_version": FORMAT_VERSION,
                "steps": progress.steps,
                "history": progress.history.digest,
                "digests": {path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))},
            }
            write_json(folder / PROGRESS, fields | {"digest": json_digest(fields)})
        self._best_file = (progress.best_epoch, target / BEST)
        for old in self._list()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, weights: MasterWeights) -> Progress:
        """Load the newest usable checkpoint into `weights`; if there is none, leave them and return no progress."""
        for leftover in self.folder.glob(".*.part"):  # of a write that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        progress = Progress(History(self.history_path))
        progress.history.load()
        for folder in reversed(self._list()):
            try:
                steps, state, best_masters = _read(folder, progress.history)
                weights.load(state)
            except (ArtifactError, ValueError) as error:
                log.warning("warning: the checkpoint %s is not usable: %s", folder, error)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            progress.history.resume(steps)
            progress.best_masters = best_masters
            self._best_file = (progress.best_epoch, folder / BEST)
            break
        return progress

    def remove(self) -> None:
        """Delete all of them and the history, after the training run has finished."""
        for folder in self._list():  # before the history, without which none is usable
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_best(self, progress: Progress, path: Path) -> None:
        if self._best_file and self._best_file[0] == progress.best_epoch and self._best_file[1].exists():
            try:
                os.link(self._best_file[1], path)  # the weights of a finished epoch never change
            except OSError:  # not every file system has hard links
                shutil.copyfile(self._best_file[1], path)
        else:
            save_file({str(number): master for number, master in enumerate(progress.best_masters)}, path)

    def _list(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def _read(folder: Path, history: History) -> tuple[int, dict[str, torch.Tensor], list[torch.Tensor]]:
    """The number of steps, the state of the optimizer and the best masters; ArtifactError for any damage."""
    fields = read_versioned(folder / PROGRESS, format_version=FORMAT_VERSION, stage="train")
    try:
        if fields.pop("digest") != json_digest(fields):
            raise ArtifactError(f"{PROGRESS} is damaged")
        for name, digest in fields["digests"].items():
            if file_digest(folder / name) != digest:
                raise ArtifactError(f"{name} is damaged")
        if history.stored_digest(fields["steps"]) != fields["history"]:
            raise ArtifactError(f"{history.path} is damaged")
        state = load_file(folder / STATE)
        best = load_file(folder / BEST) if BEST in fields["digests"] else {}
    except (OSError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ArtifactError(f"it is damaged ({error})") from None
    return fields["steps"], state, [best[str(number)] for number in range(len(best))]
