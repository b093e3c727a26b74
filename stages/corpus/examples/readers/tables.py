"""Tables as text: CSV, TSV, or cells between any other separator, with or without names in the first line."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from stages.corpus.examples.readers.columns import (
    Chosen,
    Columns,
    choose_columns,
    has_usual_name,
    show_names,
)
from stages.corpus.examples.readers.dialect import (
    QUOTED,
    SAMPLE_CHARACTERS,
    SAMPLE_ROWS,
    Dialect,
    find_text_quotes,
    guess_columns,
    iterate_lines,
    sniff_dialect,
)
from stages.corpus.examples.readers.rows import ROWS, Rows
from stages.corpus.readers.columns import AUTO
from stages.corpus.readers.text_files import read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError


def read_table(
    path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics
) -> Iterator[tuple[Chosen, Rows]]:
    """Yield the rows of a table; one with another number of cells than the first is an error and left out."""
    found = _find_dialect(path, stream, columns)
    if found is None:
        return
    dialect, chosen = found
    lines = iterate_lines(read_text(path, stream, diagnostics))
    reader = dialect.rows(lines)
    start = 1
    try:
        if dialect.is_named:
            next(row for row in reader if row)
            if not has_usual_name(columns, dialect.header):
                message = f"was read as the names of the columns: {show_names(dialect.header)}"
                diagnostics.add("note", "header", f"{path}:{reader.line_num}", message)
        start = reader.line_num + 1
        width = len(dialect.header)
        places = {name: dialect.header.index(name) for name in chosen.names}
        while True:
            rows, numbers, seen = [], [], 0
            for cells in islice(reader, ROWS):
                line, start, seen = start, reader.line_num + 1, seen + 1
                if dialect.text_first and len(cells) > width:
                    cells = [dialect.separator.join(cells[:-1]), cells[-1]]  # noqa: PLW2901 - the row as it is meant
                if dialect.is_named and tuple(cells) == dialect.header:
                    diagnostics.add("error", "record", f"{path}:{line}", "repeats the header; remove it")
                elif len(cells) == width:
                    rows.append(cells)
                    numbers.append(line)
                elif any(cells):
                    diagnostics.add("error", "record", f"{path}:{line}", _describe_width(cells, dialect))
            if rows:
                yield chosen, Rows(str(path), numbers, {name: [row[n] for row in rows] for name, n in places.items()})
            if not seen:
                return
    except csv.Error as error:
        raise UnreadableError("csv", f"{path}:{start}", _describe_fault(error, dialect)) from None


def _find_dialect(path: Path, stream: BinaryIO, columns: Columns) -> tuple[Dialect, Chosen] | None:
    """Sniff how the table is written, and choose its columns; leaves the stream at its start."""
    start = ""
    for _, piece in read_text(path, stream):
        start += piece
        if len(start) >= SAMPLE_CHARACTERS:
            break
    dialect = sniff_dialect(start, columns, has_text_quotes=False)
    if dialect is None:
        stream.seek(0)
        return None
    if dialect.separator not in QUOTED:
        stream.seek(0)
        has_text_quotes = find_text_quotes(read_text(path, stream), dialect.separator)
        dialect = sniff_dialect(start, columns, has_text_quotes=has_text_quotes)
        assert dialect is not None
    stream.seek(0)
    return dialect, _choose(path, dialect, columns, start)


def _choose(path: Path, dialect: Dialect, columns: Columns, start: str) -> Chosen:
    names = dialect.header
    if dialect.is_named or columns.text != AUTO or columns.answers.columns != AUTO:
        return _choose_named(path, dialect, columns)
    sample = dialect.rows(start[: start.rfind("\n")].split("\n"))
    guessed = guess_columns(_take_sound(sample), columns) if len(names) == 2 else None
    if guessed is None:
        message = (
            f"has {len(names)} columns without names, divided at {dialect.separator!r}: say which is which by number, "
            f"such as data.text=1 and data.{columns.answers.parameter}=2"
        )
        raise UnreadableError("column", path, message)
    text, answer = (names[place] for place in guessed)
    return Chosen(
        text, None, (answer,), False, columns.slices and choose_columns(columns, names, path).slices, None, ()
    )


def _choose_named(path: Path, dialect: Dialect, columns: Columns) -> Chosen:
    """Choose among the columns by their names; where there are no such, the first line may be no header."""
    try:
        return choose_columns(columns, dialect.header, path)
    except UnreadableError as error:
        if not dialect.is_named or has_usual_name(columns, dialect.header):
            raise
        advice = "Put one above it, such as text,label" if len(dialect.header) > 1 else "Set data.separator"
        what = "no header" if len(dialect.header) > 1 else f"divided by another character than {dialect.separator!r}"
        raise UnreadableError(error.code, error.where, f"{error.message}. Is line 1 {what}? {advice}") from None


def _take_sound(reader: Iterator[list[str]]) -> list[list[str]]:
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(islice(reader, SAMPLE_ROWS))
    return [[row[0], row[-1]] if len(row) > 2 else row for row in rows]


def _describe_width(cells: Sequence[str], dialect: Dialect) -> str:
    what = "the header has" if dialect.is_named else "most rows have"
    count = f"{len(cells)} cells" if len(cells) > 1 else "1 cell"
    return f"has {count}, but {what} {len(dialect.header)}: {dialect.separator.join(cells)[:80]!r}"


def _describe_fault(error: csv.Error, dialect: Dialect) -> str:
    if "unexpected end of data" in str(error):
        return 'a cell that begins with a quote (") here does not end; double the quotes within it, and close it'
    if "expected after" in str(error):
        return 'text follows the quote (") that closes a cell; within a cell in quotes, write each of them twice ("")'
    if "field larger" in str(error):
        return 'a cell of over 16 million characters: is a quote (") not closed?'
    what = "tab" if dialect.separator == "\t" else repr(dialect.separator)
    return f"not CSV with {what} between cells: {error}"
