"""training.json, the record of how a model was made, beside its weights: written and read here alone."""

from pathlib import Path
from typing import Any

from stages.artifacts import read_json, write_json
from stages.errors import ArtifactError

FORMAT_VERSION = 1
FILE = "training.json"


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the record: train key, parameters, datasets, machine, best epoch, dev F1 of each epoch."""
    write_json(folder / FILE, {"format_version": FORMAT_VERSION, **record})


def read_training(folder: Path) -> dict[str, Any]:
    """Read the record; ArtifactError if it is absent, damaged or of another format version."""
    path = folder / FILE
    record = read_json(path)
    if record.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format version {record.get('format_version')}, this Tuneline reads {FORMAT_VERSION}. "
            "Run `dvc repro train`."
        )
    return record
