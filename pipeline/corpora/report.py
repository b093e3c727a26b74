"""Render the output of `tuneline check` for the terminal."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.text import Text

from pipeline.terminal import make_table
from stages.corpus.text.diagnostics import HEADLINES
from stages.scoring import Presentation

SHOWN_WARNINGS = 5  # warnings and notes of one code that are shown; errors are all shown
STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}


def render_profile(profile: dict[str, Any], presentation: Presentation) -> Group:
    """Render a table of figures, unless there are errors, and below it the diagnostics, the most severe first.

    Above all stands what makes the figures meaningless.
    """
    findings = profile["findings"]
    has_errors = any(diagnostic["severity"] == "error" for diagnostic in findings)
    headlines = [diagnostic for diagnostic in findings if diagnostic["code"] in HEADLINES]
    parts: list[Any] = [Text(f"WARNING  {_format_line(each)}", "bold yellow") for each in headlines]
    parts += [Text()] if headlines else []
    if not has_errors:
        figures = presentation.tabulate_corpus(profile)
        parts.append(Text(f"{profile['dir']}: {figures.caption}"))
        table = make_table(*figures.columns)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in figures.rows:
            table.add_row(*row)
        parts += [Text(), table]
    for severity, style in STYLES.items():
        parts += [Text(), *(_style_line(line, style) for line in _diagnostic_lines(profile, severity))]
    return Group(*_merge_gaps(parts))


def _diagnostic_lines(profile: dict[str, Any], severity: str) -> Iterator[tuple[str, str]]:
    """Yield label and text of each diagnostic of a severity, and of the number of those not shown."""
    diagnostics = [
        diagnostic
        for diagnostic in profile["findings"]
        if diagnostic["severity"] == severity and diagnostic["code"] not in HEADLINES
    ]
    for code in dict.fromkeys(diagnostic["code"] for diagnostic in diagnostics):
        shown = [diagnostic for diagnostic in diagnostics if diagnostic["code"] == code]
        shown = shown if severity == "error" else shown[:SHOWN_WARNINGS]
        yield from ((severity, _format_line(diagnostic)) for diagnostic in shown)
        more = profile["counts"][code] - len(shown)
        if more > 0:
            yield "", f"... and {more:,} more like these"


def _format_line(diagnostic: dict[str, Any]) -> str:
    return f"{diagnostic['where']}: {diagnostic['message']}"


def _style_line(line: tuple[str, str], style: str) -> Text:
    return Text.assemble((f"{line[0]:<8}", style), line[1])


def _merge_gaps(parts: list[Any]) -> Iterator[Any]:
    """Yield the parts, consecutive empty lines as one."""
    for before, part in zip([Text(), *parts], parts, strict=False):
        if not (isinstance(part, Text) and isinstance(before, Text) and not part.plain and not before.plain):
            yield part
