"""register: data/model and data/report -> a version in the MLflow registry, with the alias `challenger`."""

import logging
from pathlib import Path

from stages.artifacts import atomic_write, folder_digest, read_json, write_json
from stages.config.register import Params
from stages.errors import UserError, list_faults
from stages.params import load_params, read_document
from stages.runtime.entry_point import run_recipe
from stages.tracking import registry
from stages.tracking.predecessor import list_differences
from stages.training.record import TrainingRecord, read_training

# The outputs of the earlier stages; that of tokenize is read only for its digest, which identifies its run.
FOLDERS = {"tokenize": Path("data/encoded"), "train": Path("data/model"), "evaluate": Path("data/report")}
REGISTRATION = Path("data/registration.json")

log = logging.getLogger("register")


def main(params_file: Path) -> None:
    """Register the model with its lineage, under the MLflow run of its training; write data/registration.json."""
    params = load_params(params_file, Params)
    name, place = params.register_.name, params_file.parent
    folders = {stage: place / folder for stage, folder in FOLDERS.items()}
    model = registry.TrainedModel(
        pipeline=place,
        folders=folders,
        digests={stage: folder_digest(folder) for stage, folder in folders.items()},
        training=read_training(folders["train"]),
        metrics=read_json(folders["evaluate"] / "metrics.json"),
    )
    require_unchanged(params_file, model.training)
    registration = registry.register(name, model)

    registered = place / REGISTRATION
    registered.unlink(missing_ok=True)  # DVC may have linked it to its cache, into which a write would go
    with atomic_write(registered) as path:
        write_json(path, {"format_version": 1, "name": name, "model_digest": registration.model_digest})
    registry.write_marker(registration, place)
    log.info("%s version %d is in the registry", registration.name, registration.version)
    warn_of_another_project(registration)


def warn_of_another_project(registration: registry.Registration) -> None:
    """Log what sets the version apart from the champion, or else from the version before: its name may be a mistake."""
    differences = list_differences(registration)
    for difference in differences:
        log.warning("warning: %s/%d: %s", registration.name, registration.version, difference)
    if differences:
        log.warning(
            "If this is another project, give its models a name of their own: `tuneline run --set register.name=NAME`."
        )


def require_unchanged(params_file: Path, training: TrainingRecord) -> None:
    """UserError if the params file holds other values than the model was trained with.

    DVC does not notice that: it records the values of a stage at its end. If they are edited for the next run while a
    training run is in progress, the wrong ones would be recorded with its model.
    """
    document = read_document(params_file)
    changed = [
        f"{section}.{key}: {document[section].get(key)} in {params_file}, {value} in the training run"
        for section, values in training.parameters.items()
        for key, value in values.items()
        if document[section].get(key) != value
    ]
    if changed:
        raise UserError(
            list_faults(f"{params_file} was changed during the training run, and does not describe the model:", changed)
            + "\nSet the values back, or train again: `dvc repro --force`."
        )


if __name__ == "__main__":
    run_recipe(main)
