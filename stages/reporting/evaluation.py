"""What the pages on evaluations share: the values that `frame.html.jinja` and `parts.html.jinja` need, and filters.

A report is a dictionary: its `facts` are pairs of label and value for the head of the page, its `splits` say by name
what there is to say of each, the main one first, and `learning` is the course of the training run, as
`describe_learning` has it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stages.reporting.axes import axes_between, format_number, format_tick, learning_axes
from stages.reporting.page import digest_script, page, shorten

MAX_MISTAKES = 500  # texts on the page
MAX_TEXT = 1500  # characters of a text on the page
MAX_SLICES = 100  # of a column on the page

FILTERS: dict[str, Callable[..., Any]] = {
    "digest": digest_script,
    "format_number": format_number,
    "format_tick": format_tick,
    "shorten": lambda text: shorten(text, MAX_TEXT),
    "enumerated": lambda names: list(enumerate(names, start=1)),
}

Report = dict[str, Any]
Record = dict[str, Any]


def render_evaluation(
    template: Path, report: Report, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """The page. The same report gives the same text."""
    return page(
        template,
        {**FILTERS, **(filters or {})},
        report=report,
        course=learning_axes(report["learning"]),
        share_axes=axes_between((0.0, 1.0), (0.0, 1.0)),
        split_numbers={split: number for number, split in enumerate(report["splits"], start=1)},
        **values,
    )


def sort_mistakes(report: Report) -> list[tuple[str, Record]]:
    """The mistakes of all splits, each with the name of its split, the most confident first."""
    listed = [(name, mistake) for name, split in report["splits"].items() for mistake in split["mistakes"]]
    return sorted(listed, key=lambda entry: -entry[1]["confidence"])


def describe_slices(report: Report) -> dict[str, Any]:
    """What the macro `slices` needs: the sliced columns, their order, and whether an example has two texts."""
    splits = report["splits"].values()
    return {
        "columns": list(next(iter(splits))["slices"]),
        "sort": _sort_slices,
        "has_pairs": any("pair" in mistake for split in splits for mistake in split["mistakes"]),
    }


def _sort_slices(rows: dict[str, Record]) -> list[tuple[str, Record]]:
    """The slices that are answered worst first, at most 100."""
    return sorted(rows.items(), key=lambda item: (item[1]["gap"] or 0.0, item[0]))[:MAX_SLICES]
