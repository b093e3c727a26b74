"""The evaluation of a tagger: predictions for dev and test, scores, plots, the page."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.encoding.files import EncodedSplit, read_dropped, read_split
from stages.errors import ArtifactError
from stages.reporting.evaluation import Report
from stages.reporting.tables import describe_left_out
from stages.tasks.token_classification.model.inference import WordPredictions, predict
from stages.tasks.token_classification.report.error_analysis import analyze_errors, error_metrics
from stages.tasks.token_classification.report.plots import write_plots
from stages.tasks.token_classification.report.report import render
from stages.tasks.token_classification.report.seqeval_report import report_by_seqeval
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.metric import scores
from stages.tasks.token_classification.scores.mistakes import surfaces
from stages.tasks.token_classification.scores.predictions import Predictions, write_predictions
from stages.tasks.token_classification.scores.scoring import primary
from stages.training.evaluation import Evaluated, Evaluation, describe_learning, describe_training

SPLITS = ("test", "dev")


def evaluate(evaluation: Evaluation) -> Evaluated:
    """Predict dev and test, score them and describe the mistakes; ArtifactError if a split is damaged."""
    manifest, record = evaluation.manifest, evaluation.record
    counts = manifest.counts["train"]
    train = read_split(evaluation.encoded, "train")
    train_tags = Tagging(train.labels[train.owners()].astype(np.int64), train.word_bounds, tuple(manifest.labels))
    in_train = surfaces(train_tags.entities(strict=True), train.words)
    report: Report = {
        "facts": [
            *describe_training(
                evaluation, data=f"{counts['sentences']:,} sentences, {counts['words']:,} words", score="F1"
            ),
            *describe_left_out(manifest.counts, read_dropped(evaluation.encoded), examples="Sentences"),
        ],
        "splits": {},
        "learning": describe_learning(evaluation.history, record.best_epoch),
    }
    predictions: dict[str, Predictions] = {}
    metrics: dict[str, Any] = {}
    for split in SPLITS:
        predictions[split] = predict_split(evaluation, split)
        errors = analyze_errors(predictions[split], in_train)
        tables = scores(predictions[split].gold, predictions[split].predicted)
        report["splits"][split] = {"scores": tables, **errors}
        metrics[split] = {"primary": primary(predictions[split]), **tables, **error_metrics(errors)}
    by_seqeval = "\n".join(
        report_by_seqeval(split, sides.gold, sides.predicted, metrics[split]["entity_strict"]["micro"])
        for split, sides in reversed(predictions.items())
    )

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.parquet", predictions)
        write_plots(folder / "plots", report)
        (folder / "report.html").write_text(render(report), encoding="utf-8")
        (folder / "classification_report.txt").write_text(by_seqeval, encoding="utf-8")

    return Evaluated(metrics, write, [by_seqeval, *(summarise(split, metrics[split]) for split in reversed(SPLITS))])


def predict_split(evaluation: Evaluation, split: str) -> Predictions:
    """The predictions for a split, together with its words."""
    encoded = read_split(evaluation.encoded, split)
    try:
        labels = predict(
            evaluation.model,
            encoded,
            evaluation.compute,
            batch_tokens=evaluation.batch_tokens,
            temperature=evaluation.record.decision["temperature"],
        )
    except ArtifactError as error:
        raise ArtifactError(f"{evaluation.encoded / split}.arrow, {error}") from None
    return join_words(encoded, labels, evaluation.manifest.labels)


def join_words(encoded: EncodedSplit, predictions: WordPredictions, labels: list[str]) -> Predictions:
    """The predictions together with their words."""
    gold, predicted = (
        Tagging(ids_W, encoded.word_bounds, tuple(labels)) for ids_W in (predictions.gold_W, predictions.predicted_W)
    )
    return Predictions(encoded.words, gold, predicted, predictions.probability_W, encoded.documents)


def summarise(split: str, metrics: dict[str, Any]) -> str:
    """The strict scores of a split in one line."""
    micro = metrics["entity_strict"]["micro"]
    return (
        f"{split:<4} entity F1 {micro['f1']:.4f} (95 % interval {micro['f1_low']:.4f} to {micro['f1_high']:.4f}; "
        f"precision {micro['precision']:.4f}, recall {micro['recall']:.4f}, {micro['support']} entities)"
    )
