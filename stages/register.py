"""register: data/model and data/report -> a version in the MLflow registry, with the alias `challenger`."""

import logging
from pathlib import Path
from typing import Any

from stages.artifacts import atomic_write, folder_digest, read_json, write_json
from stages.config.register import Params
from stages.errors import UserError, listed
from stages.params import load_params, read_document
from stages.runtime.entry_point import run_recipe
from stages.tracking import registry
from stages.training.record import read_training

# What each stage before has made. The encoded data is looked at only to say which run made it.
FOLDERS = {"tokenize": Path("data/encoded"), "train": Path("data/model"), "evaluate": Path("data/report")}
REGISTRATION = Path("data/registration.json")

log = logging.getLogger("register")


def main(params_file: Path) -> None:
    """Find the run of the training, register its model with all that made it, write data/registration.json."""
    params = load_params(params_file, Params)
    name = params.register_.name
    made = registry.Made(
        folders=FOLDERS,
        digests={stage: folder_digest(folder) for stage, folder in FOLDERS.items()},
        training=read_training(FOLDERS["train"]),
        metrics=read_json(FOLDERS["evaluate"] / "metrics.json"),
    )
    require_unchanged(params_file, made.training)
    registered = registry.register(name, made)

    with atomic_write(REGISTRATION) as path:
        write_json(path, {"format_version": 1, "name": name, "model_digest": registered.model_digest})
    registry.write_marker(registered)
    log.info("%s version %d is in the registry", registered.name, registered.version)


def require_unchanged(params_file: Path, training: dict[str, Any]) -> None:
    """UserError if the params file names other values than the model was made with.

    DVC does not see that: it takes down the values of a stage at its end. Who edits them for the next try while a
    training runs would have the wrong ones recorded with its model.
    """
    document = read_document(params_file)
    changed = [
        f"{section}.{key}: {document[section].get(key)} in {params_file}, {value} when the model was made"
        for section, values in training["parameters"].items()
        for key, value in values.items()
        if document[section].get(key) != value
    ]
    if changed:
        raise UserError(
            listed(f"{params_file} was changed while the model was made, so it does not say what made it:", changed)
            + "\nSet it back, or make the model anew: `dvc repro --force`."
        )


if __name__ == "__main__":
    run_recipe(main)
