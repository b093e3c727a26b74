"""evaluate: data/model on the dev and test splits of data/encoded -> data/report: scores, predictions, plots, page."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from stages.artifacts import atomic_write, folder_digest, write_json
from stages.config.evaluate import Params
from stages.encoding.dropped import read_dropped
from stages.encoding.files import EncodedSplit, Manifest, read_manifest, read_split
from stages.errors import ArtifactError
from stages.modeling.device import choose_compute, move_to, set_deterministic
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.tasks.token_classification.entities import Tagging
from stages.tasks.token_classification.error_analysis import analyze_errors, error_metrics
from stages.tasks.token_classification.head import labels_of, load_classifier
from stages.tasks.token_classification.inference import WordPredictions, predict
from stages.tasks.token_classification.metric import scores
from stages.tasks.token_classification.mistakes import surfaces
from stages.tasks.token_classification.plots import write_plots
from stages.tasks.token_classification.predictions import Predictions, write_predictions
from stages.tasks.token_classification.report import Report, render
from stages.tasks.token_classification.seqeval_report import report_by_seqeval
from stages.tracking import sync
from stages.tracking.environment import current_execution
from stages.tracking.event_log import EventLog
from stages.training.history import Entry, read_history
from stages.training.record import TrainingRecord, read_training

ENCODED = Path("data/encoded")
MODEL = Path("data/model")
REPORT = Path("data/report")
SPLITS = ("test", "dev")
SHOWN_DROPPED = 5  # sentences that were left out of the corpus

log = logging.getLogger("evaluate")


def main(params_file: Path) -> None:
    """Predict dev and test, score them, write data/report."""
    params = load_params(params_file, Params)
    compute = choose_compute(params.runtime.device, params.evaluate.precision)
    record = read_training(MODEL)
    history = read_history(MODEL, record.dev_f1)
    set_deterministic(seed=0, threads=record.threads)  # as in training, so that sums are rounded alike

    manifest = read_manifest(ENCODED)
    model = load_classifier(MODEL)
    move_to(model, compute)
    check_labels(labels_of(model), manifest)

    train = read_split(ENCODED, "train")
    train_tags = Tagging(train.labels[train.owners()].astype(np.int64), train.word_bounds, tuple(manifest.labels))
    in_train = surfaces(train_tags.entities(strict=True), train.words)
    predictions: dict[str, Predictions] = {}
    metrics: dict[str, Any] = {}
    report: Report = {
        "facts": describe_model(record, manifest) + describe_dropped(manifest, read_dropped(ENCODED)),
        "splits": {},
        "learning": learning_curves(history, record.best_epoch),
    }
    for split in SPLITS:
        encoded = read_split(ENCODED, split)
        try:
            labels = predict(model, encoded, compute, batch_tokens=params.evaluate.batch_tokens)
        except ArtifactError as error:
            raise ArtifactError(f"{ENCODED / split}.arrow, {error}") from None
        predictions[split] = join_words(encoded, labels, manifest.labels)
        errors = analyze_errors(predictions[split], in_train)
        tables = scores(predictions[split].gold, predictions[split].predicted)
        report["splits"][split] = {"scores": tables, **errors}
        metrics[split] = tables | error_metrics(errors)
    by_seqeval = "\n".join(
        report_by_seqeval(split, sides.gold, sides.predicted, metrics[split]["entity_strict"]["micro"])
        for split, sides in reversed(predictions.items())
    )

    with atomic_write(REPORT) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", metrics)
        write_predictions(folder / "predictions.parquet", predictions)
        write_plots(folder / "plots", report)
        (folder / "report.html").write_text(render(report), encoding="utf-8")
        (folder / "classification_report.txt").write_text(by_seqeval, encoding="utf-8")

    log.info("%s", by_seqeval)
    for split in reversed(SPLITS):
        micro = metrics[split]["entity_strict"]["micro"]
        log.info(
            "%-4s entity F1 %.4f (95 %% interval %.4f to %.4f; precision %.4f, recall %.4f, %d entities)",
            split,
            *(micro[column] for column in ("f1", "f1_low", "f1_high", "precision", "recall", "support")),
        )
    event_log = EventLog(record.train_key)
    event_log.restore_from_model(record.logged_parameters, record.datasets, (entry.to_json() for entry in history))
    event_log.log_metrics(metrics)
    event_log.log_execution("evaluate", folder_digest(REPORT), current_execution())
    sync.try_sync(event_log, report=REPORT)


def check_labels(labels: list[str], manifest: Manifest) -> None:
    """ArtifactError if the model was trained for other labels than those of the corpus."""
    if labels != manifest.labels:
        raise ArtifactError(
            f"{MODEL} predicts {', '.join(labels)}, but {ENCODED} holds {', '.join(manifest.labels)}. "
            "Train again: dvc repro train"
        )


def join_words(encoded: EncodedSplit, predictions: WordPredictions, labels: list[str]) -> Predictions:
    """The predictions together with their words."""
    gold, predicted = (
        Tagging(ids_W, encoded.word_bounds, tuple(labels)) for ids_W in (predictions.gold_W, predictions.predicted_W)
    )
    return Predictions(encoded.words, gold, predicted, predictions.probability_W)


def describe_model(record: TrainingRecord, manifest: Manifest) -> list[tuple[str, str]]:
    """The facts about the model for the head of the report."""
    train = record.parameters["train"]
    counts = manifest.counts["train"]
    return [
        ("Encoder", str(record.parameters["model"]["pretrained"])),
        ("Trained on", f"{counts['sentences']:,} sentences, {counts['words']:,} words"),
        ("Epoch kept", f"{record.best_epoch} of {len(record.dev_f1)}, by F1 on dev"),
        ("Learning rate", f"{train['learning_rate']:g}, {train['schedule']}"),
        ("Tokens per batch", f"{train['batch_tokens']:,}"),
        ("Seed", str(train["seed"])),
        ("Precision", record.precision),
        ("Train key", record.train_key[:12]),
    ]


def describe_dropped(manifest: Manifest, named: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The fact that sentences with faults were left out of the corpus, the first of them by file and line; or none."""
    count = sum(counts.get("dropped", 0) for counts in manifest.counts.values())
    places = [line.split(": ")[0] for lines in named.values() for line in lines][:SHOWN_DROPPED]
    more = ", …" if count > len(places) else ""
    return [("Sentences left out", f"{count:,}, for faults: {', '.join(places)}{more}")] if count else []


def learning_curves(history: list[Entry], best_epoch: int) -> dict[str, Any]:
    """The part `learning` of the report."""
    steps = [entry.step for entry in history]
    return {
        "steps": [{"step": s.step, "loss": s.loss, "learning_rate": s.learning_rate} for s in steps],
        "epochs": [
            {"epoch": entry.step.epoch, "step": entry.step.step, "dev_f1": entry.dev_f1}
            for entry in history
            if entry.dev_f1 is not None
        ],
        "best_epoch": best_epoch,
    }


if __name__ == "__main__":
    run_recipe(main)
