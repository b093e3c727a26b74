"""What evaluate hands to the part `report.evaluation` of a task, and what it gets back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from transformers import PreTrainedModel

from stages.encoding.files import Manifest
from stages.modeling.device import Compute
from stages.training.history import Entry
from stages.training.record import TrainingRecord


@dataclass(frozen=True)
class Evaluation:
    """A trained model on its device, how it was trained, and the encoded splits to score it on."""

    model: PreTrainedModel
    compute: Compute
    batch_tokens: int
    record: TrainingRecord
    history: list[Entry]
    encoded: Path  # the folder of the splits
    manifest: Manifest


@dataclass(frozen=True)
class Evaluated:
    """The scores by split, each with its `primary`, and what to do with the rest."""

    metrics: dict[str, Any]
    write: Callable[[Path], None]  # writes all files but metrics.json into the folder of the report
    summary: list[str]  # lines for the log


class TaskReport(Protocol):
    """The part `report.evaluation` of a task."""

    def evaluate(self, evaluation: Evaluation) -> Evaluated:
        """Predict dev and test, score them and describe the mistakes; ArtifactError if a split is damaged."""


def describe_training(record: TrainingRecord, *, data: str, score: str) -> list[tuple[str, str]]:
    """Label and value of each fact for the head of a report.

    `data` says what it was trained on, `score` by what on dev the epoch was chosen.
    """
    train = record.parameters["train"]
    return [
        ("Encoder", str(record.parameters["model"]["pretrained"])),
        ("Trained on", data),
        ("Epoch kept", f"{record.best_epoch} of {len(record.dev_score)}, by {score} on dev"),
        ("Learning rate", f"{train['learning_rate']:g}, {train['schedule']}"),
        ("Tokens per batch", f"{train['batch_tokens']:,}"),
        ("Seed", str(train["seed"])),
        ("Precision", record.precision),
        ("Train key", record.train_key[:12]),
    ]


def describe_learning(history: list[Entry], best_epoch: int) -> dict[str, Any]:
    """The course of the training run, for the plots of a report: `steps`, `epochs` and `best_epoch`."""
    steps = [entry.step for entry in history]
    return {
        "steps": [{"step": s.step, "loss": s.loss, "learning_rate": s.learning_rate} for s in steps],
        "epochs": [
            {"epoch": entry.step.epoch, "step": entry.step.step, "dev_score": entry.dev_score}
            for entry in history
            if entry.dev_score is not None
        ],
        "best_epoch": best_epoch,
    }
