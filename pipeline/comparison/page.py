"""A comparison of two versions as one self-contained HTML page."""

from pathlib import Path
from typing import Any

from pipeline.comparison import text
from pipeline.comparison.compare import SIDES, Comparison
from pipeline.formatting import format_value
from stages.reporting.axes import GOLDEN_ANGLE
from stages.reporting.page import page
from stages.scoring import CHANGES, Presentation
from stages.statistics.significance import CONFIDENCE
from stages.tracking.version_artifacts import load_task

TEMPLATE = Path(__file__).parent / "page.html.jinja"


def render_page(comparison: Comparison) -> str:
    """The page. The same comparison gives the same text."""
    presentation = load_task(comparison.task).presentation
    colours = _list_colours(comparison, presentation)
    hues = {name: round(number * GOLDEN_ANGLE) % 360 for number, name in enumerate(colours)}
    return page(
        TEMPLATE,
        {"format_value": format_value},
        comparison=comparison,
        text=text,
        sides=SIDES,
        names={side: text.version_label(version) for side, version in comparison.versions.items()},
        changes=CHANGES,
        confidence=CONFIDENCE,
        hues=hues,
        presentation=presentation,
        words=presentation.WORDS,
        legend=presentation.LEGEND,
        zip=zip,
    )


def _list_colours(comparison: Comparison, presentation: Presentation) -> list[str]:
    """The names of all colours on the page, in alphabetical order."""
    changed: list[Any] = comparison.predictions["examples"] if comparison.predictions else []
    answers = [(record, side) for record in changed for side in ("gold", *SIDES)]
    for example in comparison.data["examples"]:
        record = text.list_gold(example, presentation)
        answers += [(record, side) for side in SIDES if example[side]]
    runs = [run for record, side in answers for run in presentation.show_answer(record, side, side)]
    return sorted({run.colour for run in runs if run.label is not None})
