"""Suspects as one self-contained HTML page."""

from pathlib import Path
from typing import Any

from pipeline.checkout.layout import pipeline_folder
from stages.reporting.evaluation import FILTERS
from stages.reporting.page import page
from stages.scoring import TaskParts

TEMPLATE = Path(__file__).parent / "page.html.jinja"


def render_page(found: dict[str, Any], task: TaskParts) -> str:
    """The page of what `find_suspects` has found. The same suspects give the same text."""
    shown = f"{len(found['suspects']):,} of {found['count']:,}"
    facts = [("Pipeline", pipeline_folder().resolve().name), ("Split", found["split"]), ("Shown", shown)]
    return page(
        TEMPLATE,
        FILTERS,
        report={"facts": facts},
        split=found["split"],
        suspects=found["suspects"],
        presentation=task.presentation,
        words=task.words,
    )
