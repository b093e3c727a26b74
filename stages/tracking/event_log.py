"""The event log: what a run has for MLflow is written to a local file first, so that no stage waits for a server."""

import fcntl
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from stages.artifacts import atomic_write, read_json, read_json_lines, write_json
from stages.errors import ArtifactError
from stages.runtime.project import project_folder
from stages.tracking.environment import Execution
from stages.training.record import FIRST_TASK

EVENT_LOGS = Path(".tuneline/events")
# The curves in MLflow by the fields of a line of a history, as stages/training/history.py writes it.
CURVES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm",
}
DEV_SCORES = ("dev_score", "dev_f1")  # the field of the dev score, and what it was called at first
# MLflow refuses these in a part of a metric's name; a type may be `GPE(loc)` or `..`
REFUSED_IN_NAMES = re.compile(r"^\.+$|[^\w.\- :]")

Kind = Literal["train", "tokenize"]


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn `{"a": {"b": 1}}` into `{"a/b": 1}`, with names that MLflow accepts; equal names get underscores."""
    leaves: dict[str, Any] = {}
    names: set[str] = set()
    for key, value in tree.items():
        name = prefix + REFUSED_IN_NAMES.sub("_", key)
        while name in names:
            name += "_"
        names.add(name)
        leaves |= flatten(value, f"{name}/") if isinstance(value, dict) else {name: value}
    return leaves


@dataclass(frozen=True)
class Position:
    """How many events and how many steps of the history an MLflow run has."""

    events: int = 0
    steps: int = 0


class EventLog:
    """The events of one MLflow run, a JSON line each; the history of its steps; the position of each store in both.

    The run is that of one training run, by its train key, with the evaluation of its model; or of one encoding of a
    corpus, by the digest of data/encoded. While the run trains, its history is the file `live_history`; after that a
    copy beside the events, which outlives the checkpoints.
    """

    def __init__(self, key: str, kind: Kind = "train", *, live_history: Path | None = None) -> None:
        self.key = key
        self.kind = kind
        self.live_history = live_history
        self.folder = project_folder() / EVENT_LOGS
        self.path = self.folder / f"{key}.jsonl"
        self.history_path = self.folder / f"{key}.history.jsonl"
        self.sent_path = self.folder / f"{key}.sent.json"

    def begin(self, parameters: dict[str, Any], datasets: dict[str, Any]) -> None:
        """Start the log of a training run, or continue the one of a run that was stopped or is repeated."""
        events = self.events()
        if not events:
            self._start_over(parameters, datasets)
            return
        with atomic_write(self.path) as path:  # without a line that was cut short by a kill
            path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")

    def log_encoding(self, parameters: dict[str, Any], counts: dict[str, Any], execution: Execution) -> None:
        """Log an encoding from its beginning to its end; once, however often the same one is made."""
        if self.has_ended():
            return
        self._start_over(parameters, {})
        self.log_execution("tokenize", self.key, execution)
        self._write("metrics", values=flatten(counts))
        self.end()

    def log_execution(self, stage: str, digest: str, execution: Execution) -> None:
        """Log that a stage made the folder of this digest."""
        self._write("execution", stage=stage, digest=digest, execution=execution.to_json())

    def log_metrics(self, tree: dict[str, Any]) -> None:
        """Log the scores of the finished model, unless they equal those that were logged last; names are left out."""
        values = {name: value for name, value in flatten(tree).items() if isinstance(value, int | float)}
        logged = [event["values"] for event in self.events() if event["kind"] == "metrics"]
        if values not in logged[-1:]:
            self._write("metrics", values=values)

    def end(self) -> None:
        """Log that the training run has finished."""
        if not self.has_ended():
            self._write("end")

    def has_ended(self) -> bool:
        """Whether the run has finished."""
        return any(event["kind"] == "end" for event in self.events())

    def keep_history(self, lines: Iterable[dict[str, Any]]) -> None:
        """Keep the whole history of a finished run, unless that was done before: each step keeps its first time."""
        if not self.history_path.exists():
            with atomic_write(self.history_path) as path:
                path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def restore_from_model(
        self, parameters: dict[str, Any], datasets: dict[str, Any], history: Iterable[dict[str, Any]]
    ) -> None:
        """Write the whole log from what a model's folder holds, unless it is here: the model was trained elsewhere."""
        if self.has_ended() and self.history_path.exists():
            return
        self.begin(parameters, datasets)
        self.keep_history(history)
        self.end()

    def events(self) -> list[dict[str, Any]]:
        """All events so far."""
        return read_json_lines(self.path)

    def task(self) -> str:
        """The task of the run; that of all runs from before they named it."""
        parameters = [event["parameters"] for event in self.events() if event["kind"] == "begin"]
        name: str = parameters[0].get("task/name", FIRST_TASK) if parameters else FIRST_TASK
        return name

    def history(self, *, start: int = 0) -> list[dict[str, Any]]:
        """The lines of the history from the 0-based `start` on: of the finished run, else of the one that trains."""
        if self.history_path.exists() or self.live_history is None:
            return read_json_lines(self.history_path, start=start)
        return read_json_lines(self.live_history, start=start)

    def position(self, run_id: str) -> Position:
        """What this MLflow run has, as far as this checkout knows."""
        return Position(**self._positions().get(run_id, {}))

    def mark_sent(self, run_id: str, position: Position) -> None:
        """Remember what the MLflow run has."""
        with atomic_write(self.sent_path) as path:
            write_json(path, self._positions() | {run_id: asdict(position)})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock of this log: two processes must not send the same events at the same time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.sent_path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start_over(self, parameters: dict[str, Any], datasets: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.path, self.history_path, self.sent_path):
            path.unlink(missing_ok=True)
        self._write("begin", parameters=flatten(parameters), datasets=datasets)

    def _write(self, kind: str, **fields: Any) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"kind": kind, "time": time.time_ns() // 1_000_000, **fields}) + "\n")
        except OSError as error:
            raise ArtifactError(f"cannot write {self.path}: {error.strerror}. Free some space, then rerun.") from error

    def _positions(self) -> dict[str, dict[str, int]]:
        try:
            positions: dict[str, dict[str, int]] = read_json(self.sent_path)
        except ArtifactError:  # absent or damaged; an event or a step that is sent again changes nothing
            return {}
        return positions
