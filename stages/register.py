"""register: data/model and data/report -> a version in the MLflow registry, with the alias `challenger`."""

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import Field

from stages import tracking
from stages.artifacts import folder_digest, read_json, whole, write_json
from stages.command import run_recipe
from stages.params import Section, load_params

MODEL = Path("data/model")
REPORT = Path("data/report")
REGISTRATION = Path("data/registration.json")

log = logging.getLogger("register")


class RegisterParams(Section):
    """Under which name the model is registered."""

    name: str = Field(min_length=1, pattern=r"^[^/:.%\"']+$")  # what MLflow accepts as the name of a model


class Params(Section):
    """The sections that register reads."""

    register_: RegisterParams = Field(alias="register")


def main(params_file: Path) -> None:
    """Find the run of the training, register its model, write data/registration.json."""
    params = load_params(params_file, Params)
    record = read_json(MODEL / "training.json")
    metrics = read_json(REPORT / "metrics.json")
    digest = folder_digest(MODEL)

    journal = tracking.Journal(record["train_key"])
    if not journal.exists():
        # The outputs came from a cache: tell the run from what they hold, so that every registry gets all of it.
        retell(journal, record)
    journal.metrics(tracking.flat(metrics))
    registration = tracking.register(
        journal, name=params.register_.name, model=MODEL, model_digest=digest, report=REPORT
    )

    with whole(REGISTRATION) as path:
        write_json(path, {"format_version": 1, "name": params.register_.name, "model_digest": digest})
    tracking.write_marker(registration)
    log.info("%s version %d is registered as challenger", registration.name, registration.version)


def retell(journal: tracking.Journal, record: dict[str, Any]) -> None:
    """Write the journal of a training that ran elsewhere, from data/model."""
    journal.begin(record)
    epochs = iter(record["dev_f1"])
    for line in (MODEL / "history.jsonl").read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        journal.step(tracking.step_metrics(step), step["step"])
        if step["ends_epoch"]:
            journal.step({"dev/entity_strict_f1": next(epochs)}, step["step"])
    journal.end()


if __name__ == "__main__":
    run_recipe(main)
