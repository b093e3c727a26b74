"""What was played, as tables for the terminal and as one self-contained HTML page."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from pipeline.timeline.parts import Part
from pipeline.timeline.play import MEANINGS, Step
from stages.reporting.page import page
from stages.statistics.names import shorten_score

if TYPE_CHECKING:
    from rich.table import Table

TEMPLATE = Path(__file__).parent / "page.html.jinja"


def summarise(steps: Sequence[Step], parts: Sequence[Part]) -> dict[str, dict[str, float | None]]:
    """By way the means after the last step, over the parts seen, of the next part before it was seen, and the seconds.

    `seen` is the last model's score, averaged over all parts; `next` the score on the part after each step.
    """
    names, summary = [part.name for part in parts], {}
    for way in dict.fromkeys(step.way for step in steps):
        own = [step for step in steps if step.way == way]
        following = [step.scores[names[number]] for number, step in enumerate(own[:-1], start=1)]
        seconds = [step.seconds for step in own]
        summary[way] = {
            "seen": mean(own[-1].scores[name] for name in names),
            "next": mean(following) if following else None,
            "seconds": None if None in seconds else sum(second for second in seconds if second is not None),
        }
    return summary


def make_tables(steps: Sequence[Step], parts: Sequence[Part]) -> list["Table"]:
    """A table for each way: a row for what the model was trained up to, a column for what it was tested on."""
    from pipeline.terminal import make_table

    tables = []
    for way in dict.fromkeys(step.way for step in steps):
        table = make_table("trained up to", *(part.name for part in parts), "seconds", "gate")
        table.title, table.title_justify = f"{way}: {MEANINGS[way]}", "left"
        for step in (step for step in steps if step.way == way):
            seconds = "" if step.seconds is None else f"{step.seconds:,.0f}"
            table.add_row(step.part, *(f"{step.scores[part.name]:.4f}" for part in parts), seconds, step.verdict)
        tables.append(table)
    return tables


def make_summary(steps: Sequence[Step], parts: Sequence[Part]) -> "Table":
    """A row for each way."""
    from pipeline.terminal import make_table

    table = make_table("way", "all parts, at the end", "the next part", "seconds of training")
    for way, row in summarise(steps, parts).items():
        table.add_row(way, *("" if value is None else f"{value:,.{digits}f}"
                             for value, digits in zip(row.values(), (4, 4, 0), strict=True)))  # fmt: skip
    return table


def render_page(steps: Sequence[Step], parts: Sequence[Part], *, name: str) -> str:
    """The page. The same steps give the same text."""
    values = [value for step in steps for value in step.scores.values()]
    return page(
        TEMPLATE,
        {},
        name=name,
        score=shorten_score(steps[0].primary),
        parts=parts,
        ways={way: [step for step in steps if step.way == way] for way in dict.fromkeys(step.way for step in steps)},
        meanings=MEANINGS,
        summary=summarise(steps, parts),
        low=min(values),
        high=max(values),
    )
