"""The evaluation of a classifier of texts: predictions for dev and test, scores, plots, the page."""

from pathlib import Path

from stages.encoding.texts import read_texts
from stages.tasks.text_classification.model.inference import decide, mark_labels
from stages.tasks.text_classification.report.analysis import report_on
from stages.tasks.text_classification.report.baselines import NAMES, fit_baselines
from stages.tasks.text_classification.report.plots import write_plots
from stages.tasks.text_classification.report.report import render
from stages.tasks.text_classification.scores.predictions import Predictions, write_predictions
from stages.text_tasks.baselines import Train
from stages.text_tasks.evaluation import SPLITS, describe_facts, predict_encoded, summarize
from stages.training.evaluation import Evaluated, Evaluation, describe_learning
from stages.training.frozen_encoder import embed_splits


def evaluate(evaluation: Evaluation) -> Evaluated:
    """Predict dev and test, score them and describe the mistakes; ArtifactError if a split is damaged."""
    labels, record = evaluation.manifest.labels, evaluation.record
    texts, task = read_texts(evaluation.encoded, "train"), record.parameters["task"]
    train = Train((texts.texts, texts.pairs), mark_labels(texts, len(labels)))
    predictions = {split: predict_split(evaluation, split) for split in SPLITS}
    fitted = fit_baselines(train, predictions, embed_splits(evaluation, SPLITS))
    report, metrics = report_on(predictions, fitted, task)
    report["facts"] = describe_facts(
        evaluation,
        ("Temperature", f"{predictions['dev'].temperature:.3f}, fitted on dev"),
        data=f"{len(train.gold_EC):,} texts, {len(labels):,} labels",
    )
    report["learning"] = describe_learning(evaluation.history, record.best_epoch)

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", predictions)
        write_plots(folder / "plots", report)
        (folder / "report.html").write_text(render(report), encoding="utf-8")

    return Evaluated(metrics, write, summarize(metrics, fitted, NAMES), fitted.seconds)


def predict_split(evaluation: Evaluation, split: str) -> Predictions:
    """The predictions for a split, together with its texts; ArtifactError if it is missing or damaged."""
    return predict_encoded(evaluation, split, decide)
