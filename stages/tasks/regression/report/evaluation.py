"""The evaluation of a model of numbers: predictions for dev and test, scores, plots, the page."""

from pathlib import Path
from typing import Any

from stages.encoding.files import read_dropped
from stages.encoding.texts import EncodedTexts, read_texts
from stages.errors import ArtifactError
from stages.reporting.tables import describe_left_out
from stages.scoring import shorten_score
from stages.tasks.regression.model.inference import predict_numbers, read_numbers
from stages.tasks.regression.report import baselines
from stages.tasks.regression.report.analysis import report_on
from stages.tasks.regression.report.plots import write_plots
from stages.tasks.regression.report.report import render
from stages.tasks.regression.scores.metric import ERRORS
from stages.tasks.regression.scores.predictions import Predictions, write_predictions
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
    """Predict dev and test, score them and describe the errors; ArtifactError if a split is damaged."""
    manifest, record = evaluation.manifest, evaluation.record
    train = read_train(read_texts(evaluation.encoded, "train"), len(manifest.labels))
    predictions = {split: predict_split(evaluation, split) for split in SPLITS}
    task = record.parameters["task"]
    fitted = baselines.fit_baselines(train, predictions, embed_splits(evaluation, SPLITS))
    report, metrics = report_on(predictions, fitted, task)
    unit = [("Unit", task["unit"])] if task["unit"] else []
    report["facts"] = [
        *describe_training(record, data=f"{len(train.gold_ED):,} texts", score=shorten_score(task["primary"])),
        ("Predicts", ", ".join(manifest.labels)),
        *unit,
        *describe_left_out(manifest.counts, read_dropped(evaluation.encoded)),
    ]
    report["learning"] = describe_scores(describe_learning(evaluation.history, record.best_epoch), task["primary"])

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", predictions)
        write_plots(folder / "plots", report)
        (folder / "report.html").write_text(render(report), encoding="utf-8")

    scored = [summarize(split, metrics[split]) for split in reversed(SPLITS)]
    return Evaluated(metrics, write, [*scored, *describe_baselines(fitted, baselines.NAMES, metrics)], fitted.seconds)


def describe_scores(learning: dict[str, Any], primary: str) -> dict[str, Any]:
    """The course of training with errors as they are: training has them negative, so that higher is better."""
    sign = -1 if primary in ERRORS else 1
    epochs = [epoch | {"dev_score": sign * epoch["dev_score"]} for epoch in learning["epochs"]]
    return learning | {"epochs": epochs, "is_error": sign < 0}


def read_train(split: EncodedTexts, targets: int) -> baselines.Train:
    """The texts and numbers of train."""
    return baselines.Train((split.texts, split.pairs), read_numbers(split, targets))


def predict_split(evaluation: Evaluation, split: str) -> Predictions:
    """The predictions for a split, together with its texts."""
    try:
        return predict_numbers(
            evaluation.model,
            read_texts(evaluation.encoded, split),
            evaluation.compute,
            batch_tokens=evaluation.batch_tokens,
            targets=evaluation.manifest.labels,
            task=evaluation.record.parameters["task"],
            decision=evaluation.record.decision,
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
