"""report.html: the evaluation as one page to look at, which needs no other file and asks the network for nothing."""

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

from stages.reporting.axes import GOLDEN_ANGLE, axes_around, plain
from stages.reporting.page import page

TEMPLATE = Path(__file__).parent / "report.html.jinja"
CURVE_POINTS = 400  # more than a curve has pixels only make the page heavier

# What a reader sees for each kind of mistake, in the order of the stacked bars.
KINDS = {
    "correct": "correct",
    "type": "wrong type",
    "boundary": "wrong boundary",
    "boundary_and_type": "wrong boundary and type",
    "missed": "missed",
    "spurious": "spurious",
}


class Row(TypedDict):
    """One row of a table of scores."""

    precision: float
    recall: float
    f1: float
    support: int


class BoundedRow(Row):
    """A row with both ends of the 95 % interval of its F1."""

    f1_low: float
    f1_high: float


class Averages(TypedDict, total=False):
    """All absent where there is nothing to average."""

    micro: Row
    macro: Row
    weighted: Row


class StrictTable(TypedDict):
    """Scores of entities in the strict reading."""

    micro: BoundedRow
    macro: Row
    weighted: Row
    per_type: dict[str, BoundedRow]


class EntityTable(TypedDict):
    """Scores of entities in conlleval's reading."""

    micro: Row
    macro: Row
    weighted: Row
    per_type: dict[str, Row]


class TokenTable(TypedDict):
    """Scores of the tags of single words."""

    per_tag: dict[str, Row]
    without_O: Averages
    with_O: Averages


class Scores(TypedDict):
    """The tables of scores.py."""

    entity_strict: StrictTable
    entity_conlleval: EntityTable
    token: TokenTable


class Errors(TypedDict):
    """How many entities stand in each relation to the other side."""

    of_gold: dict[str, int]
    of_predicted: dict[str, int]


class Confusion(TypedDict):
    """Rows are gold, columns predicted; the last type is nothing: its row counts invented, its column missed ones."""

    types: list[str]
    counts: list[list[int]]


class Recall(TypedDict):
    """Recall of some of the gold entities."""

    recall: float
    support: int


class LengthRow(Row):
    """Scores of a range of lengths, such as `1-10`."""

    length: str


class Transition(TypedDict):
    """A predicted tag that cannot follow the one before it, which is `start` for a sentence's first word."""

    before: str
    tag: str
    count: int


class Bin(TypedDict):
    """Predicted entities of about one score."""

    low: float
    high: float
    score: float
    precision: float
    count: int


class Reliability(TypedDict):
    """The expected calibration error and the bins that hold an entity."""

    error: float
    bins: list[Bin]


class Mistake(TypedDict):
    """A sentence with a mistake. Entities do not overlap and stand in order; `sentence` counts from 1.

    An entity is its type, first word, word after the last and, if predicted, its score.
    """

    sentence: int
    words: list[str]
    gold: list[tuple[str, int, int]]
    predicted: list[tuple[str, int, int, float]]
    kinds: list[str]
    types: list[str]
    confidence: float


class Diagnosis(TypedDict):
    """What is told of a split beyond its scores. `mistakes` may hold only the first of `mistake_count`."""

    sentences: int
    words: int
    errors: Errors
    confusion: Confusion
    seen: dict[str, Recall]
    by_entity_length: list[LengthRow]
    by_sentence_length: list[LengthRow]
    transitions: list[Transition]
    reliability: Reliability
    mistakes: list[Mistake]
    mistake_count: int


class Split(Diagnosis):
    """All that is told of a split."""

    scores: Scores


class Step(TypedDict):
    """A training step, or the means of several."""

    step: float
    loss: float
    learning_rate: float


class Epoch(TypedDict):
    """An epoch, the step that ended it and the F1 on dev after it."""

    epoch: int
    step: int
    dev_f1: float


class Learning(TypedDict):
    """The course of the training."""

    steps: list[Step]
    epochs: list[Epoch]
    best_epoch: int


class Report(TypedDict):
    """All that the page shows. The first split is the one that counts; `facts` are pairs of label and value."""

    facts: list[tuple[str, str]]
    splits: dict[str, Split]
    learning: Learning


@dataclass(frozen=True)
class Run:
    """Words of a sentence that stand together: an entity, or what is between two (its type is None)."""

    text: str
    type: str | None = None
    score: float | None = None
    right: bool = False  # the other side holds the same entity


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    types = _types(report)
    learning = report["learning"]
    steps, epochs = thinned(learning["steps"]), learning["epochs"]
    return page(
        TEMPLATE,
        {"digest": _digest, "plain": plain},
        report=report,
        kinds=KINDS,
        types=types,
        hues={name: round(number * GOLDEN_ANGLE) % 360 for number, name in enumerate(types)},
        mistakes=_mistakes(report),
        steps=steps,
        loss_axes=axes_around([step["step"] for step in steps], [0.0, *(step["loss"] for step in steps)]),
        rate_axes=axes_around([step["step"] for step in steps], [0.0, *(step["learning_rate"] for step in steps)]),
        f1_axes=axes_around([epoch["epoch"] for epoch in epochs], [epoch["dev_f1"] for epoch in epochs], whole_x=True),
        share_axes=axes_around([0.0, 1.0], [0.0, 1.0]),
        runs=runs,
        zip=zip,
    )


def thinned(steps: Sequence[Step], points: int = CURVE_POINTS) -> list[Step]:
    """At most `points` steps, each the mean of equally many neighbours."""
    width = max(1, math.ceil(len(steps) / points))
    groups = [steps[first : first + width] for first in range(0, len(steps), width)]
    return [
        {
            "step": _mean([step["step"] for step in group]),
            "loss": _mean([step["loss"] for step in group]),
            "learning_rate": _mean([step["learning_rate"] for step in group]),
        }
        for group in groups
    ]


def runs(words: Sequence[str], entities: Sequence[Sequence[Any]], other: Sequence[Sequence[Any]]) -> list[Run]:
    """A sentence cut into entities and what is between them; an entity is right if `other` holds it too."""
    known = {tuple(entity[:3]) for entity in other}
    edges = [0, *(place for entity in entities for place in entity[1:3]), len(words)]
    between = [Run(" ".join(words[first:after])) for first, after in list(pairwise(edges))[::2]]
    cut = between[:1]
    for entity, rest in zip(entities, between[1:], strict=True):
        name, first, after, *score = entity
        right = (name, first, after) in known
        cut += [Run(" ".join(words[first:after]), name, score[0] if score else None, right), rest]
    return [run for run in cut if run.text or run.type is not None]


def _types(report: Report) -> list[str]:
    """All types of all splits in alphabetical order."""
    return sorted({name for split in report["splits"].values() for name in split["confusion"]["types"][:-1]})


def _mistakes(report: Report) -> list[tuple[str, Mistake]]:
    """The mistakes of all splits, each with the name of its split, the most confident first."""
    listed = [(name, mistake) for name, split in report["splits"].items() for mistake in split["mistakes"]]
    return sorted(listed, key=lambda entry: -entry[1]["confidence"])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _digest(script: str) -> str:
    """By which a content security policy knows the one script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
