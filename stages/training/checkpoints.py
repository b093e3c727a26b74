"""Checkpoints of a training: all that decides how it goes on, so that one that was killed ends with the same bytes.

<runtime.checkpoint_dir>/<train key>/
    step-00000120/
        state.safetensors   masters of the weights and moments of the optimizer
        best.safetensors    masters as they were after the best epoch so far, once there is one
        progress.json       every step and every dev score so far, the digests of the other two, and its own

Rates, batches and dropout masks follow from the number of a step (see training.py): no generator has a state to keep.
A checkpoint is written aside, flushed and renamed: it is whole or absent. The last two are kept. No pickle is read.
"""

import logging
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stages.artifacts import atomic_write, file_digest, json_digest, parse_dataclass, read_versioned, write_json
from stages.errors import ArtifactError
from stages.training.loop import Step
from stages.training.optimizer import MasterWeights

FORMAT_VERSION = 1
KEPT = 2
STATE, BEST, PROGRESS = "state.safetensors", "best.safetensors", "progress.json"

log = logging.getLogger("train")


@dataclass
class Progress:
    """What a training has done: its steps, the dev F1 of each epoch, and the masters after the best one."""

    history: list[Step] = field(default_factory=list)
    dev_f1: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_masters: list[torch.Tensor] = field(default_factory=list)

    def score(self, f1: float, weights: MasterWeights) -> None:
        """Note the dev F1 of the epoch that just ended, and keep its weights if none were better before."""
        if not self.dev_f1 or f1 > max(self.dev_f1):
            self.best_epoch, self.best_masters = len(self.dev_f1) + 1, weights.snapshot()
        self.dev_f1.append(f1)

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought no better dev F1; never, if that is 0."""
        return 0 < patience <= len(self.dev_f1) - self.best_epoch


class Checkpoints:
    """The checkpoints of one training, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._best_file: tuple[int, Path] | None = None  # of which epoch, and where its weights were written last

    def save(self, progress: Progress, weights: MasterWeights) -> None:
        """Write one of the weights after the last step of `progress`.

        ArtifactError if it cannot be written; those before stay.
        """
        target = self.folder / f"step-{len(progress.history):08}"
        if target.exists():
            return
        with atomic_write(target) as folder:
            folder.mkdir()
            save_file({name: value.cpu() for name, value in weights.state().items()}, folder / STATE)
            if progress.best_epoch:
                self._write_best(progress, folder / BEST)
            fields = {
                "format_version": FORMAT_VERSION,
                "history": [asdict(step) for step in progress.history],
                "dev_f1": progress.dev_f1,
                "best_epoch": progress.best_epoch,
                "digests": {path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))},
            }
            write_json(folder / PROGRESS, fields | {"digest": json_digest(fields)})
        self._best_file = (progress.best_epoch, target / BEST)
        for old in self._found()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, weights: MasterWeights) -> Progress:
        """Put the newest whole checkpoint into `weights`; an empty Progress, and nothing changed, if there is none."""
        for leftover in self.folder.glob(".*.part"):  # of a write that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        for folder in reversed(self._found()):
            try:
                progress, state = self._read(folder)
                weights.load(state)
            except (ArtifactError, ValueError) as error:
                log.warning("warning: the checkpoint %s is not usable: %s", folder, error)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._best_file = (progress.best_epoch, folder / BEST)
            return progress
        return Progress()

    def remove(self) -> None:
        """Delete them all, once the training has ended well."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_best(self, progress: Progress, path: Path) -> None:
        if self._best_file and self._best_file[0] == progress.best_epoch and self._best_file[1].exists():
            try:
                os.link(self._best_file[1], path)  # the weights of an epoch do not change any more
            except OSError:  # not every file system has hard links
                shutil.copyfile(self._best_file[1], path)
        else:
            save_file({str(number): master for number, master in enumerate(progress.best_masters)}, path)

    def _read(self, folder: Path) -> tuple[Progress, dict[str, torch.Tensor]]:
        fields = read_versioned(folder / PROGRESS, format_version=FORMAT_VERSION, stage="train")
        try:
            if fields.pop("digest") != json_digest(fields):
                raise ArtifactError(f"{PROGRESS} is damaged")
            del fields["format_version"]
            for name, digest in fields.pop("digests").items():
                if file_digest(folder / name) != digest:
                    raise ArtifactError(f"{name} is damaged")
            state = load_file(folder / STATE)
            best = load_file(folder / BEST) if fields["best_epoch"] else {}
            fields["history"] = [parse_dataclass(step, Step, folder / PROGRESS) for step in fields["history"]]
        except (OSError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise ArtifactError(f"it is damaged ({error})") from None
        masters = [best[str(number)] for number in range(len(best))]
        return parse_dataclass(fields | {"best_masters": masters}, Progress, folder / PROGRESS), state

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
