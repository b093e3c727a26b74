"""report.html: the evaluation as one page that needs no other file and sends no request.

A report, as `render` takes it, is a dictionary:

    facts       pairs of label and value for the head of the page
    splits      by name, the main one first: `scores`, the tables of metric.py, and the keys of error_analysis.py
    learning    the course of the training run, as `describe_learning` has it
"""

from pathlib import Path

from stages.reporting.axes import GOLDEN_ANGLE
from stages.reporting.evaluation import Report, render_evaluation, sort_mistakes
from stages.tasks.token_classification.scores.marking import mark_entities

TEMPLATE = Path(__file__).parent / "report.html.jinja"

# The words for each kind of mistake, in the order of the stacked bars.
KINDS = {
    "correct": "correct",
    "type": "wrong type",
    "boundary": "wrong boundary",
    "boundary_and_type": "wrong boundary and type",
    "missed": "missed",
    "spurious": "spurious",
}


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    types = _list_types(report)
    return render_evaluation(
        TEMPLATE,
        report,
        kinds=KINDS,
        mistake_kinds=[(kind, words) for kind, words in KINDS.items() if kind != "correct"],
        types=types,
        hues={name: round(number * GOLDEN_ANGLE) % 360 for number, name in enumerate(types)},
        mistakes=sort_mistakes(report),
        runs=mark_entities,
        zip=zip,
    )


def _list_types(report: Report) -> list[str]:
    """All types of all splits in alphabetical order."""
    return sorted({name for split in report["splits"].values() for name in split["confusion"]["types"][:-1]})
