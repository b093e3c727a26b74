"""The entity types that a model knows, read without loading it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.artifacts import read_json
from stages.errors import ArtifactError
from stages.tasks.token_classification.scores.entities import OUTSIDE


def read_types(config: Path) -> set[str]:
    """The types that a model predicts, by its config.json, though they may occur in none of its sentences.

    ArtifactError if the file is missing, damaged or names no labels.
    """
    labels: Any = read_json(config).get("id2label")
    if not isinstance(labels, dict):
        raise ArtifactError(f"{config} names no labels.")
    return types_of(labels.values())


def types_of(tags: Iterable[str]) -> set[str]:
    """The types of IOB2 tags: what follows `B-` or `I-`, which may itself hold hyphens and dots."""
    return {tag[2:] for tag in tags if tag != OUTSIDE}
