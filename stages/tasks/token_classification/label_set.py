"""The entity types that a model knows, read without loading it, and how those of two models differ."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.artifacts import read_json
from stages.errors import ArtifactError
from stages.tasks.token_classification.entities import OUTSIDE

CONFIG = "config.json"  # beside the weights, in the Hugging Face layout


@dataclass(frozen=True)
class TypeChange:
    """The types that two models know both, that only the older knows, and that only the newer knows; each sorted."""

    shared: list[str]
    vanished: list[str]
    appeared: list[str]

    @property
    def is_none(self) -> bool:
        """Whether both know the same types."""
        return not (self.vanished or self.appeared)


def compare_types(old: Iterable[str], new: Iterable[str]) -> TypeChange:
    """How the types of a newer model differ from those of an older one."""
    before, after = set(old), set(new)
    return TypeChange(sorted(before & after), sorted(before - after), sorted(after - before))


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
