"""The mistakes of the last evaluation."""

from pathlib import Path
from typing import Any

from stages.errors import UserError


def find_mistakes(path: Path, *, split: str, kind: str | None, entity_type: str | None) -> list[dict[str, Any]]:
    """The sentences of a predictions file with a mistake of this kind about this type (None: any).

    See stages/tasks/token_classification/mistakes.py for the kinds. UserError if there is no such split, kind or type.
    """
    from stages.tasks.token_classification.error_analysis import list_mistakes
    from stages.tasks.token_classification.mistakes import MISSED, RELATIONS, SPURIOUS
    from stages.tasks.token_classification.predictions import read_predictions

    splits = read_predictions(path)
    _check("split", split, list(splits))
    _check("kind", kind, [*RELATIONS[1:], MISSED, SPURIOUS])
    _check("type", entity_type, list(splits[split].gold.types))
    return [
        entry
        for entry in list_mistakes(splits[split])
        if (kind is None or kind in entry["kinds"]) and (entity_type is None or entity_type in entry["types"])
    ]


def mark_entities(words: list[str], entities: list[list[Any]]) -> str:
    """The sentence with `[words TYPE]` for each entity, and `[words TYPE score]` where it has a score."""
    parts, position = [], 0
    for kind, first, end, *scores in entities:
        score = "".join(f" {value:.2f}" for value in scores)
        parts += [*words[position:first], f"[{' '.join(words[first:end])} {kind}{score}]"]
        position = end
    return " ".join([*parts, *words[position:]])


def _check(option: str, value: str | None, known: list[str]) -> None:
    if value is not None and value not in known:
        raise UserError(f"--{option} {value}: no such {option}; there are {', '.join(known)}")
