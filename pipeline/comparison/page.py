"""A comparison of two versions as one HTML page that needs no other file and asks the network for nothing."""

from pathlib import Path
from typing import Any

from pipeline.comparison import text as words
from pipeline.comparison.compare import CHANGES, SIDES, Comparison
from pipeline.formatting import shown
from stages.reporting.axes import GOLDEN_ANGLE
from stages.reporting.page import page
from stages.statistics.significance import CONFIDENCE
from stages.tasks.token_classification.report import runs

TEMPLATE = Path(__file__).parent / "page.html.jinja"


def render(comparison: Comparison) -> str:
    """The page. The same comparison gives the same text."""
    hues = {name: round(number * GOLDEN_ANGLE) % 360 for number, name in enumerate(_types(comparison))}
    return page(
        TEMPLATE,
        {"shown": shown},
        comparison=comparison,
        words=words,
        sides=SIDES,
        names={side: words.label(version) for side, version in comparison.versions.items()},
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
    return sorted({_type(name) for tags in taggings for name, _, _ in words.entities(tags)})


def _type(name: str) -> str:
    return name.removeprefix("I-")  # see `words.entities`
