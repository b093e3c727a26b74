"""The evaluation of a classifier of texts: predictions for dev and test, scores, plots, the page."""

from pathlib import Path
from typing import Any

from stages.encoding.files import read_dropped
from stages.encoding.texts import EncodedTexts, read_texts
from stages.errors import ArtifactError
from stages.reporting.tables import describe_left_out
from stages.scoring import shorten_score
from stages.tasks.text_classification.model.inference import mark_labels, predict_texts
from stages.tasks.text_classification.report import baselines
from stages.tasks.text_classification.report.analysis import report_on
from stages.tasks.text_classification.report.plots import write_plots
from stages.tasks.text_classification.report.report import render
from stages.tasks.text_classification.scores.predictions import Predictions, write_predictions
from stages.training.evaluation import (
    Evaluated,
    Evaluation,
    describe_baselines,
    describe_learning,
    describe_training,
)
from stages.training.frozen_encoder import embed_splits

SPLITS = ("test", "dev")


def evaluate(evaluation: Evaluation) -> Evaluated:
    """Predict dev and test, score them and describe the mistakes; ArtifactError if a split is damaged."""
    manifest, record = evaluation.manifest, evaluation.record
    train = read_train(read_texts(evaluation.encoded, "train"), manifest.labels)
    predictions = {split: predict_split(evaluation, split) for split in SPLITS}
    fitted = baselines.fit_baselines(train, predictions, embed_splits(evaluation, SPLITS))
    report, metrics = report_on(predictions, fitted, record.parameters["task"])
    report["facts"] = [
        *describe_training(
            record,
            data=f"{len(train.gold_EC):,} texts, {len(manifest.labels):,} labels",
            score=shorten_score(record.parameters["task"]["primary"]),
        ),
        ("Temperature", f"{predictions['dev'].temperature:.3f}, fitted on dev"),
        *describe_left_out(manifest.counts, read_dropped(evaluation.encoded)),
    ]
    report["learning"] = describe_learning(evaluation.history, record.best_epoch)

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", predictions)
        write_plots(folder / "plots", report)
        (folder / "report.html").write_text(render(report), encoding="utf-8")

    scored = [summarize(split, metrics[split]) for split in reversed(SPLITS)]
    return Evaluated(metrics, write, [*scored, *describe_baselines(fitted, baselines.NAMES, metrics)], fitted.seconds)


def read_train(split: EncodedTexts, labels: list[str]) -> baselines.Train:
    """The texts and labels of train."""
    return baselines.Train((split.texts, split.pairs), mark_labels(split, len(labels)))


def predict_split(evaluation: Evaluation, split: str) -> Predictions:
    """The calibrated predictions for a split, together with its texts."""
    record = evaluation.record
    try:
        return predict_texts(
            evaluation.model,
            read_texts(evaluation.encoded, split),
            evaluation.compute,
            batch_tokens=evaluation.batch_tokens,
            labels=evaluation.manifest.labels,
            task=record.parameters["task"],
            decision=record.decision,
        )
    except ArtifactError as error:
        raise ArtifactError(f"{evaluation.encoded / split}.arrow, {error}") from None


def summarize(split: str, metrics: dict[str, Any]) -> str:
    """The primary score of a split, in one line."""
    primary = metrics["primary"]
    return (
        f"{split:<4} {shorten_score(primary['name'])} {primary['value']:.4f} "
        f"(95 % interval {primary['low']:.4f} to {primary['high']:.4f}, {primary['support']:,} texts)"
    )
