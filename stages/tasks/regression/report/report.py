"""report.html: the evaluation as one page that needs no other file and sends no request.

A report, as `render` takes it, is a dictionary:

    facts        pairs of label and value for the head of the page
    primary      the name of the primary score
    unit         of the numbers, or None
    remark       why a baseline is missing, or None
    splits       by name, the main one first: the keys of analysis.py, and `baselines`
    learning     the course of the training run, as `describe_learning` has it
"""

from pathlib import Path
from typing import Any

from stages.reporting.axes import Axes, axes_between, format_tick, learning_axes
from stages.reporting.page import digest_script, page, shorten
from stages.scoring import shorten_score
from stages.tasks.regression.report.baselines import NAMES
from stages.tasks.regression.scores.scoring import COMPARED_BY, HIGH, LOW

TEMPLATE = Path(__file__).parent / "report.html.jinja"
MAX_MISTAKES = 500  # on the page
MAX_TEXT = 1500  # characters of a text on the page
MAX_SLICES = 100  # of a column on the page
KINDS = {HIGH: "too high", LOW: "too low"}

Report = dict[str, Any]
Record = dict[str, Any]


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    name: str = report["primary"]
    targets = list(next(iter(report["splits"].values()))["targets"])
    return page(
        TEMPLATE,
        {
            "digest": digest_script,
            "format_tick": format_tick,
            "shorten": lambda text: shorten(text, MAX_TEXT),
            "enumerated": lambda names: list(enumerate(names, start=1)),
            "target_number": lambda target: targets.index(target) + 1,
        },
        report=report,
        name=_capitalize(shorten_score(name)),
        slice_name=_capitalize(shorten_score(COMPARED_BY.get(name) or name)),
        baseline_names=NAMES,
        course=learning_axes(report["learning"]),
        targets=targets,
        axes={target: _find_axes(report, target) for target in targets},
        kinds=KINDS,
        mistakes=_sort_mistakes(report),
        split_numbers={split: number for number, split in enumerate(report["splits"], start=1)},
        slices={
            "columns": list(next(iter(report["splits"].values()))["slices"]),
            "sort": _sort_slices,
            "has_pairs": any("pair" in mistake for _, mistake in _sort_mistakes(report)),
        },
    )


def _find_axes(report: Report, target: str) -> dict[str, Axes]:
    """Axes of predicted against gold numbers, and of residuals, the same for all splits."""
    found = [split["targets"][target] for split in report["splits"].values()]
    numbers = [value for own in found for point in own["points"] for value in (point["gold"], point["predicted"])]
    around = (min(numbers, default=0.0), max(numbers, default=1.0))
    bins = [row for own in found for row in own["bins"]]
    most = max(row["high"] for row in bins)
    return {
        "points": axes_between(around, around),
        "residuals": axes_between((-most, most), (0.0, max(row["count"] for row in bins))),
    }


def _capitalize(name: str) -> str:
    return name[:1].upper() + name[1:]


def _sort_slices(rows: dict[str, Record]) -> list[tuple[str, Record]]:
    """The slices that are answered worst first, at most 100."""
    return sorted(rows.items(), key=lambda item: (item[1]["gap"] or 0.0, item[0]))[:MAX_SLICES]


def _sort_mistakes(report: Report) -> list[tuple[str, Record]]:
    """The largest errors of all splits, each with the name of its split, the largest first, at most 500."""
    listed = [(name, mistake) for name, split in report["splits"].items() for mistake in split["mistakes"]]
    return sorted(listed, key=lambda entry: -entry[1]["confidence"])[:MAX_MISTAKES]
