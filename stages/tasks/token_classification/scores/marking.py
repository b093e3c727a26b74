"""Sentences cut into their entities and the words between them, as people see them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from stages.scoring import Run
from stages.tasks.token_classification.scores.entities import OUTSIDE


def mark_entities(words: Sequence[str], entities: Sequence[Sequence[Any]], other: Sequence[Sequence[Any]]) -> list[Run]:
    """Cut a sentence into entities and the words between them; an entity is right if `other` has it too.

    An entity is its name, first word, word after the last and, if it has one, its score.
    """
    others = {tuple(entity[:3]) for entity in other}
    bounds = [0, *(bound for entity in entities for bound in entity[1:3]), len(words)]
    between = [Run(" ".join(words[first:after])) for first, after in list(pairwise(bounds))[::2]]
    parts = between[:1]
    for entity, rest in zip(entities, between[1:], strict=True):
        name, first, after, *score = entity
        is_right = (name, first, after) in others
        text, colour = " ".join(words[first:after]), name.removeprefix("I-")  # see `extract_entities`
        parts += [Run(text, name, score[0] if score else None, is_right, colour), rest]
    return [run for run in parts if run.text or run.label is not None]


def extract_entities(tags: Sequence[str]) -> list[list[Any]]:
    """The entities of a sentence as name, first word, word after the last; different tags give different entities.

    The name is the type, or the whole tag of an I- that continues no entity: strict scoring does not count it.
    """
    found: list[list[Any]] = []
    current = ""  # the type that an I- would continue
    for position, tag in enumerate(tags):
        kind = "" if tag == OUTSIDE else tag[2:]
        if kind and kind == current and tag.startswith("I-"):
            found[-1][2] = position + 1
        elif kind:
            found.append([kind if tag.startswith("B-") else tag, position, position + 1])
        current = kind
    return found
