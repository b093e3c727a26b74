"""training.json, the record of how a model was made, beside its weights: written and read here alone."""

from pathlib import Path
from typing import Any

from stages.artifacts import read_versioned, write_json

FORMAT_VERSION = 1
FILE = "training.json"


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the record: train key, parameters, datasets, machine, best epoch, dev F1 of each epoch."""
    write_json(folder / FILE, {"format_version": FORMAT_VERSION, **record})


def read_training(folder: Path) -> dict[str, Any]:
    """Read the record; ArtifactError if it is absent, damaged or of another format version."""
    return read_versioned(folder / FILE, format_version=FORMAT_VERSION, stage="train")
