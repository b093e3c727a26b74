"""A comparison of two versions as one self-contained HTML page."""

from pathlib import Path
from typing import Any

from pipeline.comparison import text
from pipeline.comparison.compare import CHANGES, SIDES, Comparison
from pipeline.formatting import format_value
from stages.reporting.axes import GOLDEN_ANGLE
from stages.reporting.page import page
from stages.statistics.significance import CONFIDENCE
from stages.tasks.token_classification.report import runs

TEMPLATE = Path(__file__).parent / "page.html.jinja"


def render_page(comparison: Comparison) -> str:
    """The page. The same comparison gives the same text."""
    hues = {name: round(number * GOLDEN_ANGLE) % 360 for number, name in enumerate(_types(comparison))}
    return page(
        TEMPLATE,
        {"format_value": format_value},
        comparison=comparison,
        text=text,
        sides=SIDES,
        names={side: text.version_label(version) for side, version in comparison.versions.items()},
        changes=CHANGES,
        confidence=CONFIDENCE,
        hue=lambda name: hues[_type(name)],
        runs=runs,
        zip=zip,
    )


def _types(comparison: Comparison) -> list[str]:
    """The types of all entities on the page in alphabetical order."""
    changed: list[Any] = comparison.predictions["examples"] if comparison.predictions else []
    taggings = [example[side] for example in changed for side in ("gold", *SIDES)]
    taggings += [example[side]["tags"] for example in comparison.data["examples"] for side in SIDES if example[side]]
    return sorted({_type(name) for tags in taggings for name, _, _ in text.extract_entities(tags)})


def _type(name: str) -> str:
    return name.removeprefix("I-")  # see `text.extract_entities`
