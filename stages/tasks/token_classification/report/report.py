"""report.html: the evaluation as one page that needs no other file and sends no request.

A report, as `render` takes it, is a dictionary:

    facts       pairs of label and value for the head of the page
    splits      by name, the main one first: `scores`, the tables of metric.py, and the keys of error_analysis.py
    learning    the course of the training run:
        steps       a dictionary for each step: `step`, `loss`, `learning_rate`
        epochs      a dictionary for each epoch: `epoch`, the `step` that ended it, and its `dev_score`
        best_epoch
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.reporting.axes import GOLDEN_ANGLE, axes_around, format_tick
from stages.reporting.page import page
from stages.tasks.token_classification.scores.marking import mark_entities

TEMPLATE = Path(__file__).parent / "report.html.jinja"
CURVE_POINTS = 400  # more than a curve has pixels only make the page heavier

# The words for each kind of mistake, in the order of the stacked bars.
KINDS = {
    "correct": "correct",
    "type": "wrong type",
    "boundary": "wrong boundary",
    "boundary_and_type": "wrong boundary and type",
    "missed": "missed",
    "spurious": "spurious",
}

Report = dict[str, Any]
Record = dict[str, Any]


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    types = _list_types(report)
    learning = report["learning"]
    steps, epochs = downsample(learning["steps"]), learning["epochs"]
    return page(
        TEMPLATE,
        {"digest": _digest, "format_tick": format_tick},
        report=report,
        kinds=KINDS,
        types=types,
        hues={name: round(number * GOLDEN_ANGLE) % 360 for number, name in enumerate(types)},
        mistakes=_sort_mistakes(report),
        steps=steps,
        loss_axes=axes_around([step["step"] for step in steps], [0.0, *(step["loss"] for step in steps)]),
        learning_rate_axes=axes_around(
            [step["step"] for step in steps], [0.0, *(step["learning_rate"] for step in steps)]
        ),
        f1_axes=axes_around(
            [epoch["epoch"] for epoch in epochs], [epoch["dev_score"] for epoch in epochs], whole_x=True
        ),
        share_axes=axes_around([0.0, 1.0], [0.0, 1.0]),
        runs=mark_entities,
        zip=zip,
    )


def downsample(steps: Sequence[Record], points: int = CURVE_POINTS) -> list[Record]:
    """At most `points` steps, each the mean of equally many consecutive ones."""
    width = max(1, math.ceil(len(steps) / points))
    groups = [steps[first : first + width] for first in range(0, len(steps), width)]
    return [
        {name: math.fsum(step[name] for step in group) / len(group) for name in ("step", "loss", "learning_rate")}
        for group in groups
    ]


def _list_types(report: Report) -> list[str]:
    """All types of all splits in alphabetical order."""
    return sorted({name for split in report["splits"].values() for name in split["confusion"]["types"][:-1]})


def _sort_mistakes(report: Report) -> list[tuple[str, Record]]:
    """The mistakes of all splits, each with the name of its split, the most confident first."""
    listed = [(name, mistake) for name, split in report["splits"].items() for mistake in split["mistakes"]]
    return sorted(listed, key=lambda entry: -entry[1]["confidence"])


def _digest(script: str) -> str:
    """The digest by which the content security policy allows the one script of the page."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
