"""What a training has to tell MLflow, written to a local file first, so that no training waits for a server."""

import fcntl
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from stages.artifacts import atomic_write, read_json, write_json
from stages.errors import ArtifactError

EVENT_LOGS = Path(".tuneline/journal")
FINAL = 0  # the step of figures that belong to no step; those of training count from 1
NOT_IN_NAMES = re.compile(r"[^\w.\- :]")  # what MLflow refuses in the name of a metric; a type may be `GPE(loc)`


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a/b": 1}`, with names that MLflow takes; names that fall together get underscores."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = prefix + NOT_IN_NAMES.sub("_", key)
        while name in leaves:
            name += "_"
        leaves |= flat(value, f"{name}/") if isinstance(value, dict) else {name: value}
    return leaves


CURVES = ("loss", "learning_rate", "gradient_norm")


Kind = Literal["train", "tokenize"]


class EventLog:
    """The events of one run in MLflow, a JSON line each, and how many of them each store has got.

    The run is of one training, by its train key, with the evaluation of its model; or of one encoding of a corpus, by
    the digest of data/encoded.
    """

    def __init__(self, key: str, kind: Kind = "train") -> None:
        self.key = key
        self.kind = kind
        self.path = EVENT_LOGS / f"{key}.jsonl"
        self.sent_path = EVENT_LOGS / f"{key}.sent.json"
        self._logged_points: set[tuple[str, int]] = set()  # the points of the curves, by name and step

    def begin(self, record: dict[str, Any]) -> None:
        """Start with the parameters and datasets of the training (`record`: see train.py).

        If there is a event_log already, the training was stopped, or is repeated: it takes the same steps, and is told
        on from where it was.
        """
        EVENT_LOGS.mkdir(parents=True, exist_ok=True)
        events = self.events()
        if events:
            with atomic_write(self.path) as path:  # without the line in which it was killed
                path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
        else:
            for path in (self.path, self.sent_path):
                path.unlink(missing_ok=True)
            machine = {f"machine/{name}": record[name] for name in ("device", "precision", "threads")}
            self._write("begin", parameters=flat(record["parameters"]) | machine, datasets=record["datasets"])
        self._logged_points = {
            (name, event["step"]) for event in events if event["kind"] == "metrics" for name in event["values"]
        }

    def log_encoding(self, parameters: dict[str, Any], counts: dict[str, Any], execution: dict[str, Any]) -> None:
        """All there is to tell of an encoding; once, however often the same is made."""
        if _has_ended(self.events()):
            return
        EVENT_LOGS.mkdir(parents=True, exist_ok=True)
        for path in (self.path, self.sent_path):
            path.unlink(missing_ok=True)
        self._write("begin", parameters=flat(parameters), datasets={})
        self.log_execution("tokenize", self.key, execution)
        self._metrics(flat(counts), FINAL)
        self.end()

    def log_execution(self, stage: str, digest: str, execution: dict[str, Any]) -> None:
        """A stage has made the folder of this digest; `execution`: see provenance.py."""
        self._write("executed", stage=stage, digest=digest, execution=execution)

    def log_step(self, report: dict[str, Any]) -> None:
        """The points that one step of training adds to the curves, unless they were told before it was stopped."""
        self._point({f"train/{name}": report[name] for name in CURVES}, report["step"])

    def log_epoch(self, f1: float, step: int) -> None:
        """The dev score after an epoch that ended with `step`, likewise."""
        self._point({"dev/entity_strict_f1": f1}, step)

    def end(self) -> None:
        """The training is finished."""
        if not _has_ended(self.events()):
            self._write("end")

    def log_metrics(self, tree: dict[str, Any]) -> None:
        """Figures of the finished model; told again only if they differ from the last ones told."""
        values = flat(tree)
        told = [event["values"] for event in self.events() if event["kind"] == "metrics" and event["step"] == FINAL]
        if values not in told[-1:]:
            self._metrics(values, FINAL)

    def restore_from_model(self, model: Path, record: dict[str, Any]) -> None:
        """Write the whole log from the folder of a model, unless this checkout has it: it was trained elsewhere."""
        events = self.events()
        if _has_ended(events):
            return
        self.begin(record)
        dev_f1 = iter(record["dev_f1"])
        for line in (model / "history.jsonl").read_text(encoding="utf-8").splitlines():
            report = json.loads(line)
            self.log_step(report)
            if report["ends_epoch"]:
                self.log_epoch(next(dev_f1), report["step"])
        self.end()

    def events(self) -> list[dict[str, Any]]:
        """All events so far."""
        return list(self._read())

    def sent(self, run_id: str) -> int:
        """How many events this MLflow run has got."""
        return int(self._sent().get(run_id, 0))

    def mark_sent(self, run_id: str, count: int) -> None:
        """Remember that the run has the first `count` events."""
        with atomic_write(self.sent_path) as path:
            write_json(path, self._sent() | {run_id: count})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within, no other process sends this event_log: what two send at a time would be told twice."""
        EVENT_LOGS.mkdir(parents=True, exist_ok=True)
        with self.sent_path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _point(self, values: dict[str, float], step: int) -> None:
        if not any((name, step) in self._logged_points for name in values):
            self._metrics(values, step)

    def _metrics(self, values: dict[str, float], step: int) -> None:
        self._write("metrics", values=values, step=step)

    def _write(self, kind: str, **fields: Any) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"kind": kind, "time": int(time.time() * 1000), **fields}) + "\n")
        except OSError as error:
            raise ArtifactError(f"cannot write {self.path}: {error.strerror}. Make space, then run again.") from error

    def _read(self) -> Iterator[dict[str, Any]]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        for line in text.splitlines():
            try:
                yield json.loads(line)
            except ValueError:  # the process was killed while it wrote this line
                return

    def _sent(self) -> dict[str, Any]:
        try:
            sent: dict[str, Any] = read_json(self.sent_path)
        except ArtifactError:  # absent or damaged: sending anew changes nothing
            return {}
        return sent


def _has_ended(events: list[dict[str, Any]]) -> bool:
    return any(event["kind"] == "end" for event in events)
