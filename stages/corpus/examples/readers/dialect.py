"""How a table is written: what separates its cells, whether quotes are text, and whether it has a header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stages.corpus.examples.readers.columns import Columns, has_usual_name, number_names

SEPARATORS = ("\t", ",", ";", "|", "@")  # the first that divides the sample evenly
EVENLY = 0.9  # share of the rows of the sample
SAMPLE_CHARACTERS = 1 << 18
SAMPLE_ROWS = 2000
QUOTED = (",", ";")  # texts hold these so often that their cells need quotes
MAX_CELL = 1 << 24  # characters
CellReader = Any  # of the csv module, which has no public name for it; it iterates over rows and has `line_num`
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")


@dataclass(frozen=True)
class Dialect:
    """How a table is written. `header` has the names of the columns; they are numbers where `is_named` is false."""

    separator: str
    has_quotes: bool  # whether quotes stand around cells, rather than in them
    header: tuple[str, ...]
    is_named: bool
    text_first: bool  # whether the text is the first of two columns and may hold the separator itself

    def rows(self, lines: Iterable[str]) -> CellReader:
        """Return a reader of the cells of lines; csv.Error for quotes that do not match."""
        return _read_rows(lines, self.separator, has_quotes=self.has_quotes)


def sniff_dialect(start: str, columns: Columns, *, has_text_quotes: bool) -> Dialect | None:
    """Find the dialect by the first lines of a table; None if there is no row in them.

    `has_text_quotes` says whether the whole file has quotes that cannot stand around cells, see `find_text_quotes`.
    """
    separator = columns.separator or _choose_separator(start)
    has_quotes = separator in QUOTED or not has_text_quotes
    sample = [row for row in _sample(start, separator, has_quotes=has_quotes) if row]
    if not sample:
        return None
    first, rest = sample[0], sample[1:]
    if _is_header(first, rest, columns):
        return Dialect(separator, has_quotes, tuple(first), is_named=True, text_first=False)
    width = Counter(len(row) for row in sample).most_common(1)[0][0]
    is_free = columns.separator is not None or separator not in SEPARATORS[:2]
    text_first = is_free and min(len(row) for row in sample) == 2
    return Dialect(
        separator, has_quotes, tuple(number_names(2 if text_first else width)), is_named=False, text_first=text_first
    )


def find_text_quotes(pieces: Iterable[tuple[int, str]], separator: str) -> bool:
    """Whether a file has a quote that stands neither around a cell nor doubled within one: then quotes are text."""
    edge = re.escape(separator)
    lone = re.compile(rf'"(?<![{edge}\n"]")(?:"")*(?![{edge}\n"])')
    return any(_has_lone(lone, text) for _, text in pieces)


def guess_columns(rows: Sequence[Sequence[str]], columns: Columns) -> tuple[int, int] | None:
    """Return the places of the text and of the answer in two columns without names; None if it is not clear."""
    pairs = [row for row in rows if len(row) == 2]
    if columns.pair is not None or not pairs:
        return None
    lengths = [sum(len(row[place]) for row in pairs) for place in (0, 1)]
    distinct = [len({row[place] for row in pairs}) for place in (0, 1)]
    if lengths[0] == lengths[1]:
        return None
    text = 0 if lengths[0] > lengths[1] else 1
    if columns.wanted == "numbers":
        return (text, 1 - text) if all(NUMBER.fullmatch(row[1 - text].strip()) for row in pairs) else None
    return (text, 1 - text) if distinct[1 - text] <= distinct[text] else None


def _has_lone(lone: re.Pattern[str], text: str) -> bool:
    return any(match.start() > 0 and match.end() < len(text) for match in lone.finditer(text))


def _choose_separator(start: str) -> str:
    shares = {separator: _share_even(_sample(start, separator, has_quotes=True)) for separator in SEPARATORS}
    best = next((separator for separator, share in shares.items() if share >= EVENLY), None)
    return best or max(SEPARATORS, key=lambda separator: shares[separator])


def _share_even(rows: Sequence[Sequence[str]]) -> float:
    """Return the share of rows that have as many cells as most; none if most have one."""
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return 0.0
    width, count = widths.most_common(1)[0]
    return count / widths.total() if width > 1 else 0.0


def _sample(start: str, separator: str, *, has_quotes: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    with suppress(csv.Error):
        for row in _read_rows(io.StringIO(start, newline="\n"), separator, has_quotes=has_quotes, strict=False):
            rows.append(row)
            if len(rows) == SAMPLE_ROWS:
                break
    return rows[:-1] if len(start) >= SAMPLE_CHARACTERS and len(rows) > 1 else rows  # the last may be cut off


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]], columns: Columns) -> bool:
    """Whether the first row names the columns: it has usual names, or no number and no cell that rows below repeat."""
    if has_usual_name(columns, first):
        return True
    if any(NUMBER.fullmatch(cell.strip()) for cell in first):
        return False
    return not any(any(len(row) > place and row[place] == cell for row in rest) for place, cell in enumerate(first))


def _read_rows(lines: Iterable[str], separator: str, *, has_quotes: bool, strict: bool = True) -> CellReader:
    csv.field_size_limit(MAX_CELL)
    if has_quotes:
        return csv.reader(lines, delimiter=separator, strict=strict)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, quotechar=None, strict=strict)


def iterate_lines(pieces: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Yield the lines of some texts, with their ends: LF alone ends a line."""
    for _, piece in pieces:
        yield from io.StringIO(piece, newline="\n")
