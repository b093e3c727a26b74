"""The mistakes of the last evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.errors import UserError
from stages.scoring import TaskParts


def find_mistakes(
    path: Path, *, task: TaskParts, split: str, kind: str | None, label: str | None, option: str
) -> list[dict[str, Any]]:
    """The examples of a predictions file with a mistake of this kind about this label (None: any).

    UserError if there is no such split, kind or label; `option` is how the label was given.
    """
    splits = task.scores.read_predictions(path)
    _check("split", split, list(splits))
    predictions = splits[split]
    _check("kind", kind, task.scores.mistake_kinds(predictions))
    _check(option, label, sorted(task.scores.find_labels(predictions)))
    return [
        entry
        for entry in task.scores.list_mistakes(predictions)
        if (kind is None or kind in entry["kinds"]) and (label is None or label in entry["labels"])
    ]


def _check(option: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise UserError(f"--{option} {value}: no such {option}; there are {', '.join(known)}")
