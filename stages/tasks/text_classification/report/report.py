"""report.html: the evaluation as one page that needs no other file and sends no request.

A report, as `render` takes it, is a dictionary:

    facts        pairs of label and value for the head of the page
    primary      the name of the primary score
    multi_label  whether a text may have several labels
    remark       why a baseline is missing, or None
    splits       by name, the main one first: the keys of analysis.py, and `baselines`
    learning     the course of the training run, as `describe_learning` has it
"""

from pathlib import Path
from typing import Any

from stages.reporting.axes import axes_between, format_tick, learning_axes
from stages.reporting.page import digest_script, page, shorten
from stages.scoring import shorten_score
from stages.tasks.text_classification.report.baselines import NAMES
from stages.tasks.text_classification.scores.scoring import COMPARED_BY

TEMPLATE = Path(__file__).parent / "report.html.jinja"
MAX_MISTAKES = 500  # on the page
MAX_TEXT = 1500  # characters of a text on the page
MAX_SLICES = 100  # of a column on the page
SHOWN_PAIRS = 15  # before the rest is folded away

Report = dict[str, Any]
Record = dict[str, Any]


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    name: str = report["primary"]
    labels = _list_labels(report)
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    return page(
        TEMPLATE,
        {
            "digest": digest_script,
            "format_tick": format_tick,
            "shorten": lambda text: shorten(text, MAX_TEXT),
            "enumerated": lambda names: list(enumerate(names, start=1)),
            "number_of": lambda label: numbers[label],
        },
        report=report,
        name=_capitalize(shorten_score(name)),
        slice_name=_capitalize(shorten_score(COMPARED_BY.get(name) or name)),
        baseline_names=NAMES,
        course=learning_axes(report["learning"]),
        share_axes=axes_between((0.0, 1.0), (0.0, 1.0)),
        labels=labels,
        split_numbers={split: number for number, split in enumerate(report["splits"], start=1)},
        mistakes=_sort_mistakes(report),
        shown_pairs=SHOWN_PAIRS,
        slices={
            "columns": list(next(iter(report["splits"].values()))["slices"]),
            "sort": _sort_slices,
            "has_pairs": any("pair" in mistake for _, mistake in _sort_mistakes(report)),
        },
    )


def _capitalize(name: str) -> str:
    return name[:1].upper() + name[1:]


def _list_labels(report: Report) -> list[str]:
    """All labels that a listed mistake has in gold or in the prediction, in alphabetical order."""
    mistakes = [mistake for _, mistake in _sort_mistakes(report)]
    return sorted({label for each in mistakes for label in [*each["gold"], *(name for name, _ in each["predicted"])]})


def _sort_slices(rows: dict[str, Record]) -> list[tuple[str, Record]]:
    """The slices that are answered worst first, at most 100."""
    return sorted(rows.items(), key=lambda item: (item[1]["gap"] or 0.0, item[0]))[:MAX_SLICES]


def _sort_mistakes(report: Report) -> list[tuple[str, Record]]:
    """The mistakes of all splits, each with the name of its split, the most confident first, at most 500."""
    listed = [(name, mistake) for name, split in report["splits"].items() for mistake in split["mistakes"]]
    return sorted(listed, key=lambda entry: -entry[1]["confidence"])[:MAX_MISTAKES]
