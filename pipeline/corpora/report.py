"""Render the output of `tuneline check` for the terminal."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.text import Text

from pipeline.terminal import make_table
from stages.corpus.text.diagnostics import HEADLINES

SHOWN_WARNINGS = 5  # warnings and notes of one code that are shown; errors are all shown
STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}


def render_profile(profile: dict[str, Any]) -> Group:
    """Render a table of figures, unless there are errors, and below it the diagnostics, the most severe first.

    Above all stands what makes the figures meaningless.
    """
    splits, findings = profile["splits"], profile["findings"]
    has_errors = any(diagnostic["severity"] == "error" for diagnostic in findings)
    headlines = [diagnostic for diagnostic in findings if diagnostic["code"] in HEADLINES]
    parts: list[Any] = [Text(f"WARNING  {_format_line(each)}", "bold yellow") for each in headlines]
    parts += [Text()] if headlines else []
    if not has_errors:
        types = sorted({name for split in splits.values() for name in split["entities"]})
        parts.append(Text(f"{profile['dir']}: {profile['scheme']}, {len(types)} entity types"))
        table = make_table("", *splits)
        for column in table.columns[1:]:
            column.justify = "right"
        for label, cells in _rows(splits, types, profile["window"]):
            table.add_row(label, *cells)
        parts += [Text(), table]
    for severity, style in STYLES.items():
        parts += [Text(), *(_style_line(line, style) for line in _diagnostic_lines(profile, severity))]
    return Group(*_merge_gaps(parts))


def _rows(splits: dict[str, Any], types: list[str], window: int) -> Iterator[tuple[str, list[str]]]:
    def row(label: str, *path: str) -> tuple[str, list[str]]:
        return label, [f"{_at(split, path):,}" if _at(split, path) is not None else "" for split in splits.values()]

    yield row("sentences", "sentences")
    if any("dropped" in split for split in splits.values()):
        yield row("  left out for their faults", "dropped")
    yield row("words", "words")
    if any(split["documents"] for split in splits.values()):
        yield row("documents", "documents")
    yield "entities", [f"{sum(split['entities'].values()):,}" for split in splits.values()]
    for name in types:
        shown = name if name.isprintable() else repr(name)
        yield f"  {shown}", [f"{split['entities'].get(name, 0):,}" for split in splits.values()]
    if any("unseen_entities" in split for split in splits.values()):
        unseen = [split.get("unseen_entities") for split in splits.values()]
        yield "  distinct ones not in train", ["" if share is None else f"{share:.0%}" for share in unseen]
    if all("tokens" in split for split in splits.values()):
        yield "tokens of a sentence", [""] * len(splits)
        for label, key in (("  half have at most", "median"), ("  90 %", "p90"), ("  99 %", "p99"), ("  all", "max")):
            yield row(label, "tokens", key)
        yield row(f"  sentences over {window:,}, the window", "longer_than_window")
        yield row("words unknown to the tokenizer", "unknown_words")


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if value is not None else None
    return value


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
