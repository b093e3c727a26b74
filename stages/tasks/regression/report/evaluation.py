"""The evaluation of a model of numbers: predictions for dev and test, scores, plots, the page."""

from pathlib import Path
from typing import Any

from stages.encoding.texts import read_texts
from stages.tasks.regression.model.inference import decide, read_numbers
from stages.tasks.regression.report.analysis import report_on
from stages.tasks.regression.report.baselines import NAMES, fit_baselines
from stages.tasks.regression.report.plots import write_plots
from stages.tasks.regression.report.report import render
from stages.tasks.regression.scores.metric import ERRORS
from stages.tasks.regression.scores.predictions import Predictions, write_predictions
from stages.text_tasks.baselines import Train
from stages.text_tasks.evaluation import SPLITS, describe_facts, predict_encoded, summarize
from stages.training.evaluation import Evaluated, Evaluation, describe_learning
from stages.training.frozen_encoder import embed_splits


def evaluate(evaluation: Evaluation) -> Evaluated:
    """Predict dev and test, score them and describe the errors; ArtifactError if a split is damaged."""
    labels, record = evaluation.manifest.labels, evaluation.record
    texts, task = read_texts(evaluation.encoded, "train"), record.parameters["task"]
    train = Train((texts.texts, texts.pairs), read_numbers(texts, len(labels)))
    predictions = {split: predict_split(evaluation, split) for split in SPLITS}
    fitted = fit_baselines(train, predictions, embed_splits(evaluation, SPLITS))
    report, metrics = report_on(predictions, fitted, task)
    unit = [("Unit", task["unit"])] if task["unit"] else []
    report["facts"] = describe_facts(
        evaluation, ("Predicts", ", ".join(labels)), *unit, data=f"{len(train.gold_EC):,} texts"
    )
    report["learning"] = describe_scores(describe_learning(evaluation.history, record.best_epoch), task["primary"])

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", predictions)
        write_plots(folder / "plots", report)
        (folder / "report.html").write_text(render(report), encoding="utf-8")

    return Evaluated(metrics, write, summarize(metrics, fitted, NAMES), fitted.seconds)


def predict_split(evaluation: Evaluation, split: str) -> Predictions:
    """The predictions for a split, together with its texts; ArtifactError if it is missing or damaged."""
    return predict_encoded(evaluation, split, decide)


def describe_scores(learning: dict[str, Any], primary: str) -> dict[str, Any]:
    """The course of training with errors as they are: training has them negative, so that higher is better."""
    sign = -1 if primary in ERRORS else 1
    epochs = [epoch | {"dev_score": sign * epoch["dev_score"]} for epoch in learning["epochs"]]
    return learning | {"epochs": epochs, "is_error": sign < 0}
