"""evaluate: data/model on dev and test of data/encoded, and on data/also -> data/report: scores, predictions, page."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import cast

from stages.artifacts import atomic_write, folder_digest, write_json
from stages.config.evaluate import Params
from stages.continual.corpora import ALSO as ALSO_FOLDER
from stages.continual.forgetting import score_older
from stages.encoding.files import Manifest, read_manifest
from stages.errors import ArtifactError
from stages.modeling.classifier import labels_of
from stages.modeling.device import choose_compute, move_to, set_deterministic
from stages.modeling.head import TaskModel, load_model
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.scoring import Scores
from stages.statistics.older import ALSO, describe_older
from stages.task import load_part
from stages.tracking import sync
from stages.tracking.environment import current_execution
from stages.tracking.event_log import EventLog
from stages.tracking.parent import fetch_parent
from stages.training.evaluation import Evaluation, TaskReport
from stages.training.history import read_history
from stages.training.record import read_training

ENCODED = Path("data/encoded")
MODEL = Path("data/model")
REPORT = Path("data/report")

log = logging.getLogger("evaluate")


def main(params_file: Path) -> None:
    """Predict dev and test, score them, write data/report."""
    params = load_params(params_file, Params)
    encoded, trained, target = (params_file.parent / name for name in (ENCODED, MODEL, REPORT))
    compute = choose_compute(params.runtime.device, params.evaluate.precision)
    record = read_training(trained)
    fetch_parent(record.encoder, task=record.task)
    history = read_history(trained, record.dev_score)
    set_deterministic(seed=0, threads=record.threads)  # as in training, so that sums are rounded alike

    manifest = read_manifest(encoded)
    task = cast(TaskModel, load_part(manifest.task, "model.head"))
    model = load_model(task, trained)
    move_to(model, compute)
    check_labels(labels_of(model), manifest)
    report = cast(TaskReport, load_part(manifest.task, "report.evaluation"))
    scores = cast(Scores, load_part(manifest.task, "scores.scoring"))
    evaluation = Evaluation(model, compute, params.evaluate.batch_tokens, record, history, encoded, manifest)
    older = score_older(evaluation, trained, params_file.parent / ALSO_FOLDER, task=task, report=report, scores=scores)
    evaluated = report.evaluate(replace(evaluation, also=older))
    metrics = evaluated.metrics | ({ALSO: older} if older else {})

    with atomic_write(target) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", metrics)
        evaluated.write(folder)

    for line in (*evaluated.summary, *(": ".join(each) for each in describe_older(metrics))):
        log.info("%s", line)
    event_log = EventLog(record.train_key)
    event_log.restore_from_model(record.logged_parameters, record.datasets, (entry.to_json() for entry in history))
    event_log.log_metrics(metrics | {"baseline_seconds": evaluated.seconds})
    event_log.log_execution("evaluate", folder_digest(target), current_execution())
    sync.try_sync(event_log, report=target)


def check_labels(labels: list[str], manifest: Manifest) -> None:
    """ArtifactError if the model was trained for other labels than those of the corpus."""
    if labels != manifest.labels:
        raise ArtifactError(
            f"{MODEL} predicts {', '.join(labels)}, but {ENCODED} holds {', '.join(manifest.labels)}. "
            "Train again: dvc repro train"
        )


if __name__ == "__main__":
    run_recipe(main)
