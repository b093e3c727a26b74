"""What `tuneline check` found, for a person to read."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

DOUBTS = 5  # warnings and notes of a kind that are shown; of errors, all that were kept
STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}


def rendered(found: dict[str, Any]) -> Group:
    """A table of figures, unless errors make them worthless, and below it the findings, the gravest first."""
    splits = found["splits"]
    has_errors = any(finding["grade"] == "error" for finding in found["findings"])
    parts: list[Any] = []
    if not has_errors:
        types = sorted({name for split in splits.values() for name in split["entities"]})
        parts.append(Text(f"{found['dir']}: {found['scheme']}, {len(types)} entity types"))
        table = Table("", *splits, box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for label, cells in _rows(splits, types, found["window"]):
            table.add_row(label, *cells)
        parts += [Text(), table]
    for grade, style in STYLES.items():
        parts += [Text(), *(_finding(line, style) for line in _findings(found, grade))]
    return Group(*_without_double_gaps(parts))


def _rows(splits: dict[str, Any], types: list[str], window: int) -> Iterator[tuple[str, list[str]]]:
    def row(label: str, *path: str) -> tuple[str, list[str]]:
        return label, [f"{_at(split, path):,}" if _at(split, path) is not None else "" for split in splits.values()]

    yield row("sentences", "sentences")
    yield row("words", "words")
    if any(split["documents"] for split in splits.values()):
        yield row("documents", "documents")
    yield "entities", [f"{sum(split['entities'].values()):,}" for split in splits.values()]
    for name in types:
        yield f"  {name}", [f"{split['entities'].get(name, 0):,}" for split in splits.values()]
    if any("unseen_entities" in split for split in splits.values()):
        unseen = [split.get("unseen_entities") for split in splits.values()]
        yield "  distinct ones not in train", ["" if share is None else f"{share:.0%}" for share in unseen]
    if all("subwords" in split for split in splits.values()):
        yield "sub-words of a sentence", [""] * len(splits)
        for label, key in (("  half have at most", "median"), ("  90 %", "p90"), ("  99 %", "p99"), ("  all", "max")):
            yield row(label, "subwords", key)
        yield row(f"  sentences over {window:,}, the window", "longer_than_window")
        yield row("words unknown to the tokenizer", "unknown_words")


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if value is not None else None
    return value


def _findings(found: dict[str, Any], grade: str) -> Iterator[tuple[str, str]]:
    """Severity and text of each finding of a grade, and of those that are counted alone."""
    of_grade = [finding for finding in found["findings"] if finding["grade"] == grade]
    for code in dict.fromkeys(finding["code"] for finding in of_grade):
        shown = [finding for finding in of_grade if finding["code"] == code]
        shown = shown if grade == "error" else shown[:DOUBTS]
        yield from ((grade, f"{finding['where']}: {finding['message']}") for finding in shown)
        more = found["counts"][code] - len(shown)
        if more:
            yield "", f"... and {more:,} more like these"


def _finding(line: tuple[str, str], style: str) -> Text:
    return Text.assemble((f"{line[0]:<8}", style), line[1])


def _without_double_gaps(parts: list[Any]) -> Iterator[Any]:
    for before, part in zip([Text(), *parts], parts, strict=False):
        if not (isinstance(part, Text) and isinstance(before, Text) and not part.plain and not before.plain):
            yield part
