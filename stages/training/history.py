"""The history of a training run: a JSON line for each optimizer step, appended while it trains.

    {"dev_score": 0.5, "ends_epoch": true, "epoch": 1, ..., "step": 47, ..., "time": 1795810541000, "weight": 49}

A line holds the fields of `Step`, the dev score if the step ended an epoch, and when the step was recorded, in
milliseconds since 1970. All but the time follow from data and parameters. The folder of a model keeps the fields of
`Step` alone; the dev score of its epochs is in training.json.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

from stages.artifacts import parse_dataclass, read_json_lines
from stages.errors import ArtifactError

FILE = "history.jsonl"


@dataclass(frozen=True)
class Step:
    """One optimizer step, counted from 1.

    `loss` is the mean over its batch, `gradient_norm` the norm before clipping, `tokens` the number of those of the
    batch, and `weight` what the summed loss was divided by: the number of labelled words, or of texts.
    """

    step: int
    steps: int
    epoch: int
    ends_epoch: bool
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    weight: float


@dataclass(frozen=True)
class Entry:
    """A step, the dev score if it ended an epoch, and when it was recorded, in milliseconds since 1970."""

    step: Step
    dev_score: float | None
    time: int

    def to_json(self) -> dict[str, Any]:
        """The fields of its line."""
        scored = {} if self.dev_score is None else {"dev_score": self.dev_score}
        return {**asdict(self.step), **scored, "time": self.time}

    @classmethod
    def from_json(cls, fields: dict[str, Any], path: Path) -> "Entry":
        """The inverse; ArtifactError if `fields`, a line of `path`, are others."""
        step = {name: value for name, value in fields.items() if name not in ("dev_score", "time")}
        return cls(parse_dataclass(step, Step, path), fields.get("dev_score"), fields.get("time", 0))


class History:
    """The history of one training run and its file, to which one process at a time may append.

    An interrupted run leaves steps in the file that come after its last checkpoint. A resumed run repeats them; where
    it gets the same values, they keep their lines and so their times: MLflow drops a point that it has already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []  # of this run, with those before the checkpoint that it resumed from
        self._stored: list[Entry] = []  # in the file
        self._sha256 = hashlib.sha256()  # of `entries`

    @property
    def dev_score(self) -> list[float]:
        """The dev score of each epoch so far."""
        return [entry.dev_score for entry in self.entries if entry.dev_score is not None]

    @property
    def digest(self) -> str:
        """SHA-256 of all entries but for their times, in hexadecimal."""
        return self._sha256.hexdigest()

    def load(self) -> None:
        """Read what an interrupted run left in the file, up to its first damaged or incomplete line."""
        self._stored = []
        with suppress(ArtifactError):
            for fields in read_json_lines(self.path):
                self._stored.append(Entry.from_json(fields, self.path))
        if self.path.exists():
            self._cut(len(self._stored))

    def stored_digest(self, steps: int) -> str:
        """The `digest` of the first `steps` entries of the file; ArtifactError if it has fewer."""
        if len(self._stored) < steps:
            raise ArtifactError(f"{self.path} is damaged: it has no step {len(self._stored) + 1}")
        return _sha256(self._stored[:steps]).hexdigest()

    def resume(self, steps: int) -> None:
        """Take over the first `steps` entries of the file."""
        self.entries = self._stored[:steps]
        self._sha256 = _sha256(self.entries)

    def append(self, step: Step, dev_score: float | None = None) -> None:
        """Record a step. A full disk stops no run: the line is written with the next one, or by `store`."""
        entry = Entry(step, dev_score, time.time_ns() // 1_000_000)
        number = len(self.entries)
        if number < len(self._stored):
            known = self._stored[number]
            if replace(entry, time=known.time) == known:
                entry = known
            else:
                self._cut(number)
        self.entries.append(entry)
        self._sha256.update(_timeless_line(entry))
        with suppress(OSError):
            self._store()

    def store(self) -> None:
        """Have all entries in the file; ArtifactError if that fails."""
        with self._artifact_errors():
            self._store()

    def flush(self) -> None:
        """Have what was stored on the disk, so that it survives a power failure; ArtifactError if that fails.

        It may run in a thread while entries are appended.
        """
        with self._artifact_errors(), self.path.open("rb") as stream:
            os.fsync(stream)

    @contextmanager
    def _artifact_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ArtifactError(
                f"cannot write {self.path}: {error.strerror}. Check permissions and free space, then run again."
            ) from error

    def _store(self) -> None:
        """Append the entries that the file lacks: all of them or, on a full disk, none."""
        missing = self.entries[len(self._stored) :]
        if not missing:
            return
        lines = b"".join(_line(entry.to_json()) for entry in missing)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as stream:
            size, written = stream.tell(), 0
            try:
                written = stream.write(lines)
            finally:
                if written < len(lines):
                    stream.truncate(size)
        if written < len(lines):
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        self._stored += missing

    def _cut(self, steps: int) -> None:
        """Shorten the file to its first `steps` lines."""
        with self.path.open("rb+") as stream:
            for _ in range(steps):
                stream.readline()
            stream.truncate(stream.tell())
        del self._stored[steps:]


def write_history(model: Path, entries: Iterable[Entry]) -> None:
    """Write the steps into the folder of a model."""
    with (model / FILE).open("wb") as stream:
        stream.writelines(_line(asdict(entry.step)) for entry in entries)


def read_history(model: Path, dev_score: Sequence[float]) -> list[Entry]:
    """Read the history in the folder of a model whose epochs ended with `dev_score`; its times are now.

    ArtifactError if it is absent, damaged, or of another number of epochs.
    """
    path = model / FILE
    if not path.exists():
        raise ArtifactError(f"{path}: no such file. `dvc repro train` makes it.")
    steps = [parse_dataclass(fields, Step, path) for fields in read_json_lines(path)]
    if len(steps) != path.read_bytes().count(b"\n") or sum(step.ends_epoch for step in steps) != len(dev_score):
        raise ArtifactError(f"{path} is damaged. Delete it and run `dvc repro train`.")
    scores, now = iter(dev_score), time.time_ns() // 1_000_000
    return [Entry(step, next(scores) if step.ends_epoch else None, now) for step in steps]


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True).encode() + b"\n"


def _timeless_line(entry: Entry) -> bytes:
    return _line({**asdict(entry.step), "dev_score": entry.dev_score})


def _sha256(entries: Iterable[Entry]) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(_timeless_line(entry))
    return digest
