"""register: data/model and data/report -> a version in the MLflow registry, with the alias `challenger`."""

import logging
from pathlib import Path

from stages import tracking
from stages.artifacts import folder_digest, read_json, whole, write_json
from stages.command import run_recipe
from stages.journal import Journal
from stages.modeling.record import read_training
from stages.params import load_params
from stages.sections.register import Params

MODEL = Path("data/model")
REPORT = Path("data/report")
REGISTRATION = Path("data/registration.json")

log = logging.getLogger("register")


def main(params_file: Path) -> None:
    """Find the run of the training, register its model, write data/registration.json."""
    params = load_params(params_file, Params)
    record = read_training(MODEL)
    metrics = read_json(REPORT / "metrics.json")
    digest = folder_digest(MODEL)

    journal = Journal(record["train_key"])
    journal.tell_from(MODEL, record)
    journal.figures(metrics)
    registration = tracking.register(
        journal, name=params.register_.name, model=MODEL, model_digest=digest, report=REPORT
    )

    with whole(REGISTRATION) as path:
        write_json(path, {"format_version": 1, "name": params.register_.name, "model_digest": digest})
    tracking.write_marker(registration)
    log.info("%s version %d is in the registry", registration.name, registration.version)


if __name__ == "__main__":
    run_recipe(main)
