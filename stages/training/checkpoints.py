"""Checkpoints of a training run: a run that was killed resumes from the last one and ends with the same bytes.

<runtime.checkpoint_dir>/<train key>/
    history.jsonl           every step so far with its dev scores; see history.py
    step-00000120/
        state.safetensors   master weights, their mean, moments of the optimizer, and what dynamics/ has recorded
        best.safetensors    master weights after the best epoch so far, once there is one
        progress.json       the number of steps, the digest of their history and of the other two files, and its own

Learning rates, batches and dropout masks follow from the number of a step (see loop.py), so no random generator has a
state to save. A thread writes a checkpoint, from a copy of the state, while the training goes on: to a temporary name,
flushed and renamed, so that it is complete or absent. The last two are kept. No pickle is read.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stages.artifacts import atomic_write, file_digest, json_digest, read_versioned, write_json
from stages.dynamics.recorder import PREFIX, Recorder
from stages.errors import ArtifactError
from stages.training.history import FILE, History, Step
from stages.training.optimizer import MasterWeights

FORMAT_VERSION = 3
KEPT = 2
STATE, BEST, PROGRESS = "state.safetensors", "best.safetensors", "progress.json"

log = logging.getLogger("train")


@dataclass
class Progress:
    """The history of a training run, what it recorded of its examples, and the master weights after its best epoch."""

    history: History
    recorder: Recorder | None = None
    best_masters: list[torch.Tensor] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """The number of steps so far."""
        return len(self.history.entries)

    @property
    def best_epoch(self) -> int:
        """The first of the epochs with the best dev score, counted from 1; 0 before the end of the first epoch."""
        dev_score = self.history.dev_score
        return dev_score.index(max(dev_score)) + 1 if dev_score else 0

    def add(self, step: Step, dev_score: float | None, weights: MasterWeights) -> None:
        """Add a step, with the dev score if it ended an epoch; keep the weights if that is the best so far."""
        self.history.append(step, dev_score)
        if step.ends_epoch and self.recorder is not None:
            self.recorder.end_epoch(step.epoch)
        if dev_score is not None and self.best_epoch == len(self.history.dev_score):
            self.best_masters = weights.snapshot()

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought no better dev score; never, if that is 0."""
        return 0 < patience <= len(self.history.dev_score) - self.best_epoch


@dataclass(frozen=True)
class _Snapshot:
    """What a checkpoint is written from; the training changes none of it."""

    steps: int
    history: History
    history_digest: str
    best_epoch: int
    best_masters: list[torch.Tensor]
    state: dict[str, torch.Tensor]  # in host memory, once `copied` has happened
    copied: torch.cuda.Event | None


class Checkpoints:
    """The checkpoints of one training run, in a folder of their own; one is written at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history_path = folder / FILE
        self._best_file: tuple[int, Path] | None = None  # the best epoch, and the last file with its weights
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._write: Future[None] | None = None  # under way, or its outcome is not known to the caller yet
        self._host_state: dict[str, torch.Tensor] = {}

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._write is not None and not self._write.done()

    def start(self, progress: Progress, weights: MasterWeights) -> None:
        """Copy the weights after the last step of `progress`, and have a thread write a checkpoint of them.

        Nothing happens while another is being written. Of a GPU neither the host nor the thread that trains waits for
        the copy. ArtifactError as for `check`, or if the history cannot be written.
        """
        if self.is_writing:
            return
        self.check()
        if self._target(progress.steps).exists():
            return
        with _naming(progress.steps):
            progress.history.store()
        copied = self._copy_to_host(weights.state() | (progress.recorder.state() if progress.recorder else {}))
        history = progress.history
        self._write = self._thread.submit(
            self._write_checkpoint,
            _Snapshot(
                progress.steps, history, history.digest, progress.best_epoch, progress.best_masters,
                self._host_state, copied,
            ),
        )  # fmt: skip

    def check(self) -> None:
        """Raise, once, the error of a checkpoint that could not be written: ArtifactError; earlier ones stay."""
        if self._write is not None and not self.is_writing:
            self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written, if any; raises as `check` does."""
        write, self._write = self._write, None
        if write is not None:
            write.result()

    def save(self, progress: Progress, weights: MasterWeights) -> None:
        """Write a checkpoint of the weights after the last step of `progress`, after the one that is being written.

        ArtifactError if it cannot be written; earlier ones stay.
        """
        with suppress(ArtifactError):  # this one takes the place of one that failed
            self.wait()
        self.start(progress, weights)
        self.wait()

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """While active, checkpoints may be written; at its end none is: the thread has finished and ended.

        A last one that failed is a warning.
        """
        try:
            yield
        finally:
            try:
                self.wait()
            except ArtifactError as error:
                log.warning("warning: %s", error)
            finally:
                self._thread.shutdown()

    def restore(self, weights: MasterWeights, recorder: Recorder | None = None) -> Progress:
        """Load the newest usable checkpoint into `weights` and `recorder`; if there is none, leave both.

        Returns the progress with this recorder.
        """
        for leftover in self.folder.glob(".*.part"):  # of a write that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        progress = Progress(History(self.history_path), recorder)
        progress.history.load()
        for folder in reversed(self._list()):
            try:
                steps, state, best_masters = _read(folder, progress.history)
                recorded = {name: state.pop(name) for name in list(state) if name.startswith(PREFIX)}
                weights.load(state)
                if recorder is not None:
                    recorder.load(recorded)
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
        with suppress(ArtifactError):  # none is needed any more
            self.wait()
        for folder in self._list():  # before the history, without which none is usable
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _copy_to_host(self, state: dict[str, torch.Tensor]) -> torch.cuda.Event | None:
        """Copy the state into host memory, allocated once and pinned for a GPU, whose copies go on behind the call."""
        if not self._host_state:
            self._host_state = {
                name: torch.empty_like(value, device="cpu", pin_memory=value.is_cuda) for name, value in state.items()
            }
        for name, value in state.items():
            self._host_state[name].copy_(value, non_blocking=True)
        if not state["step"].is_cuda:
            return None
        copied = torch.cuda.Event(blocking=True)
        copied.record()
        return copied

    def _write_checkpoint(self, snapshot: _Snapshot) -> None:
        """Write one in the thread. What training does to the state meanwhile comes, on its stream, after the copy."""
        target = self._target(snapshot.steps)
        if snapshot.copied is not None:
            snapshot.copied.synchronize()
        with _naming(snapshot.steps), atomic_write(target) as folder:
            snapshot.history.flush()
            folder.mkdir()
            save_file(snapshot.state, folder / STATE)
            if snapshot.best_epoch:
                self._write_best(snapshot, folder / BEST)
            fields = {
                "format_version": FORMAT_VERSION,
                "steps": snapshot.steps,
                "history": snapshot.history_digest,
                "digests": {path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))},
            }
            write_json(folder / PROGRESS, fields | {"digest": json_digest(fields)})
        self._best_file = (snapshot.best_epoch, target / BEST)
        for old in self._list()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def _write_best(self, snapshot: _Snapshot, path: Path) -> None:
        if self._best_file and self._best_file[0] == snapshot.best_epoch and self._best_file[1].exists():
            try:
                os.link(self._best_file[1], path)  # the weights of a finished epoch never change
            except OSError:  # not every file system has hard links
                shutil.copyfile(self._best_file[1], path)
        else:
            save_file({str(number): master for number, master in enumerate(snapshot.best_masters)}, path)

    def _target(self, steps: int) -> Path:
        return self.folder / f"step-{steps:08}"

    def _list(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


@contextmanager
def _naming(steps: int) -> Iterator[None]:
    """While active, an ArtifactError tells of which step there is no checkpoint."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"no checkpoint of step {steps}: {error}") from error


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
