"""What evaluate hands to the part `report.evaluation` of a task, and what it gets back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from transformers import PreTrainedModel

from stages.encoding.files import Manifest
from stages.modeling.device import Compute
from stages.statistics.baselines import Fitted, list_unbeaten
from stages.statistics.older import ALSO, describe_older
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
    also: Mapping[str, Any] = field(default_factory=dict)  # of older corpora, as metrics.json has it


@dataclass(frozen=True)
class Evaluated:
    """The scores by split, each with its `primary`, and what to do with the rest."""

    metrics: dict[str, Any]
    write: Callable[[Path], None]  # writes all files but metrics.json into the folder of the report
    summary: list[str]  # lines for the log
    seconds: dict[str, float] = field(default_factory=dict)  # of baselines, by name: no output may hold a time


class TaskReport(Protocol):
    """The part `report.evaluation` of a task."""

    def evaluate(self, evaluation: Evaluation) -> Evaluated:
        """Predict dev and test, score them and describe the mistakes; ArtifactError if a split is damaged."""

    def predict_split(self, evaluation: Evaluation, split: str) -> Any:
        """The predictions for a split, as the part `scores.scoring` takes them; ArtifactError if it is damaged."""


def describe_training(evaluation: Evaluation, *, data: str, score: str) -> list[tuple[str, str]]:
    """Label and value of each fact for the head of a report.

    `data` says what it was trained on, `score` by what on dev the epoch was chosen.
    """
    record = evaluation.record
    train = record.parameters["train"]
    return [
        ("Encoder", str(record.parameters["model"]["pretrained"])),
        *([("Trained weights", record.trained_weights)] if record.weights else []),
        ("Trained on", data),
        *_describe_old(train),
        ("Epoch kept", f"{record.best_epoch} of {len(record.dev_score)}, by {score} on dev"),
        ("Learning rate", f"{train['learning_rate']:g}, {train['schedule']}"),
        ("Tokens per batch", f"{train['batch_tokens']:,}"),
        ("Seed", str(train["seed"])),
        ("Precision", record.precision),
        ("Train key", record.train_key[:12]),
        *((f"Older corpus {name}", words) for name, words in describe_older({ALSO: evaluation.also})),
    ]


def _describe_old(train: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was done against forgetting; models of before know no such parameters."""
    replay = train.get("replay", {})
    if replay.get("corpus"):
        yield "Old examples", f"{replay['share']:.0%} of an epoch, of {replay['corpus']}"
    if train.get("retain"):
        yield "Near its parent", f"by a weight of {train['retain']:g}"


def describe_baselines(fitted: Fitted, names: Mapping[str, str], metrics: Mapping[str, Any]) -> list[str]:
    """Lines for the log: the scores of the baselines, which of them the model does not beat, and which are missing."""
    lines = []
    for name, baseline in fitted.baselines.items():
        scores = ", ".join(f"{split} {metrics[split]['baselines'][name]['value']:.4f}" for split in sorted(metrics))
        some = f", fitted on {baseline.train_texts:,} texts" if baseline.train_texts < fitted.train_texts else ""
        lines.append(f"baseline: {scores}, {names[name]} ({baseline.seconds:.1f} s{some})")
    unbeaten = [
        f"warning: on test the model is not better than {names[name]}, beyond chance"
        for name in list_unbeaten(metrics["test"]["baselines"])
    ]
    return [*lines, *unbeaten, *fitted.remarks]


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
