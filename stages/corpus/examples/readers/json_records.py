"""JSON: records on lines, in an array, or in an object by split; records are objects or lists of cells."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from stages.corpus.examples.readers.columns import Chosen, Columns, choose_columns, number_names
from stages.corpus.examples.readers.dialect import guess_columns
from stages.corpus.examples.readers.exports import RecordFlattener
from stages.corpus.examples.readers.rows import ROWS, Rows
from stages.corpus.folder import ALIASES, SPLIT
from stages.corpus.readers.columns import AUTO
from stages.corpus.readers.json_records import ARRAY_LIMIT, describe_json_fault
from stages.corpus.readers.records import format_value
from stages.corpus.readers.text_files import read_text
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.sentences import SPLITS

Record = dict[str, Any]
BLANK = re.compile(r"[ \t\n\r]*")
FIRST_KEY = re.compile(r'\s*\{\s*"([^"\\]{1,40})"\s*:\s*\[\s*[\[{]')  # of an object whose values are lists of records
DECODER = json.JSONDecoder()
ONE_SPLIT = ""  # of records that stand in no object by split


def read_json(
    path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics
) -> Iterator[tuple[Chosen, Rows]]:
    """Yield the records of a file; what is no record becomes an error. A split of other names is left out, with a note.

    A record's line is where it begins, or its number if all stand on one line.
    """
    reader = _RecordCollector(path, columns, diagnostics)
    for split, line, value in _parse(path, stream, diagnostics):
        yield from reader.add(split, line, value)
    yield from reader.finish()


def list_splits(path: Path, stream: BinaryIO) -> list[str]:
    """Return the splits of a file that holds an object by split, as its keys name them; none for any other file.

    All of them if it is cut off or malformed: `read_json` says where.
    """
    pieces = read_text(path, stream)
    start = next(pieces, (1, ""))[1]
    if not _is_by_split(start):
        return []
    try:
        keys = [key for key, _ in _walk_splits(path, _read_whole(path, start, pieces))]
    except UnreadableError:
        return list(SPLITS)
    return list(dict.fromkeys(ALIASES[key.lower()] for key in keys if key.lower() in ALIASES))


class _RecordCollector:
    """Collects records into rows, whose columns are chosen by the first of them."""

    def __init__(self, path: Path, columns: Columns, diagnostics: Diagnostics) -> None:
        self.path, self.columns, self.diagnostics = path, columns, diagnostics
        self._flatten = RecordFlattener(columns)
        self._chosen: Chosen | None = None
        self._records: list[tuple[str, int, Record]] = []

    def add(self, split: str, line: int, value: Any) -> Iterator[tuple[Chosen, Rows]]:
        """Add one record; yields rows when there are enough."""
        try:
            record = self._flatten(_as_record(value))
        except AnnotationError as error:
            self.diagnostics.add("error", "record", f"{self.path}:{line}", str(error))
            return
        if record is not None:
            self._records.append((split, line, record))
            if len(self._records) == ROWS:
                yield from self._take()

    def finish(self) -> Iterator[tuple[Chosen, Rows]]:
        """Yield the rest, and add notes on what was skipped."""
        yield from self._take()
        for note, count in self._flatten.notes.items():
            self.diagnostics.add("note", "records", self.path, f"{count:,} {note}")

    def _take(self) -> Iterator[tuple[Chosen, Rows]]:
        if not self._records:
            return
        if self._chosen is None:
            self._chosen = self._choose()
        splits, lines, records = zip(*self._records, strict=True)
        self._records = []
        values = {name: [record.get(name) for record in records] for name in self._chosen.names}
        yield self._chosen, Rows(str(self.path), lines, values, splits=None if splits[0] == ONE_SPLIT else splits)

    def _choose(self) -> Chosen:
        names = list(dict.fromkeys(name for _, _, record in self._records for name in record))
        are_lists = names == number_names(len(names))
        if are_lists and self.columns.text == AUTO == self.columns.answers.columns and len(names) == 2:
            cells = [[str(record.get(name, "")) for name in names] for _, _, record in self._records]
            guessed = guess_columns(cells, self.columns)
            if guessed is not None:
                text, answer = (names[place] for place in guessed)
                return Chosen(text, None, (answer,), False, (), None, ())
        return choose_columns(self.columns, names, self.path)


def _as_record(value: Any) -> Record:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value:
        return dict(zip(number_names(len(value)), value, strict=True))
    raise AnnotationError(f"needs an object with a text and its answer, or a list of both: {format_value(value)}")


def _parse(path: Path, stream: BinaryIO, diagnostics: Diagnostics) -> Iterator[tuple[str, int, Any]]:
    """Yield each record with its split and its line."""
    pieces = read_text(path, stream, diagnostics)
    first = next(pieces, (1, ""))
    if _is_by_split(first[1]):
        yield from _parse_splits(path, _read_whole(path, first[1], pieces), diagnostics)
    elif first[1].lstrip().startswith("["):
        text = _read_whole(path, first[1], pieces)
        yield from ((ONE_SPLIT, line, value) for line, value in _number(text, _walk_array(path, text, 0)))
    elif re.match(r"\s*\{\s*\n", first[1]):
        raise UnreadableError("json", f"{path}:1", "an object over several lines; write one on each line, or an array")
    else:
        yield from _parse_lines(path, chain([first], pieces), diagnostics)


def _parse_lines(
    path: Path, pieces: Iterator[tuple[int, str]], diagnostics: Diagnostics
) -> Iterator[tuple[str, int, Any]]:
    for start, piece in pieces:
        for number, line in enumerate(piece.split("\n"), start=start):
            if not line.strip():
                continue
            try:
                yield ONE_SPLIT, number, json.loads(line)
            except (ValueError, RecursionError) as error:
                message = f"not JSON ({describe_json_fault(error)}): {line.strip()[:80]!r}"
                diagnostics.add("error", "json", f"{path}:{number}", message)


def _parse_splits(path: Path, text: str, diagnostics: Diagnostics) -> Iterator[tuple[str, int, Any]]:
    others: list[str] = []

    def values() -> Iterator[tuple[int, tuple[str, Any]]]:
        for key, items in _walk_splits(path, text):
            if key.lower() in ALIASES:
                yield from ((place, (key, value)) for place, value in items)
            else:
                count = sum(1 for _ in items)
                others.append(f"{key} ({count:,})")

    for line, (key, value) in _number(text, values()):
        yield key, line, value
    if others:
        message = f"not read, since they are neither train, dev nor test: {', '.join(others)}"
        diagnostics.add("note", "other-splits", path, message)


def _walk_splits(path: Path, text: str) -> Iterator[tuple[str, Iterator[tuple[int, Any]]]]:
    """Yield each key of an object with the values of its array; use them before the next key."""
    place = _skip(text, text.index("{") + 1)
    while text[place : place + 1] != "}":
        key, place = _decode(path, text, place)
        place = _skip(text, place)
        _expect(path, text, place, ":")
        place = _skip(text, place + 1)
        array = _ArrayWalk(path, text, place)
        yield str(key), iter(array)
        for _ in array:  # what was not asked for
            pass
        place = _skip(text, array.place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        else:
            _expect(path, text, place, "}")


def _walk_array(path: Path, text: str, place: int) -> Iterator[tuple[int, Any]]:
    array = _ArrayWalk(path, text, _skip(text, place))
    yield from array
    end = _skip(text, array.place)
    if end < len(text):
        raise UnreadableError("json", f"{path}:{_line(text, end)}", f"more follows the array: {text[end : end + 40]!r}")


class _ArrayWalk:
    """Iterates over the values of an array with the place of each; `place` is where the array ends, once it did."""

    def __init__(self, path: Path, text: str, place: int) -> None:
        _expect(path, text, place, "[")
        self.path, self.text, self.place = path, text, _skip(text, place + 1)
        self._is_over = False

    def __iter__(self) -> "_ArrayWalk":
        return self

    def __next__(self) -> tuple[int, Any]:
        if self._is_over:
            raise StopIteration
        if self.text[self.place : self.place + 1] == "]":
            self.place, self._is_over = self.place + 1, True
            raise StopIteration
        start = self.place
        value, end = _decode(self.path, self.text, start)
        self.place = _skip(self.text, end)
        if self.text[self.place : self.place + 1] == ",":
            self.place = _skip(self.text, self.place + 1)
        else:
            _expect(self.path, self.text, self.place, "]")
        return start, value


def _number(text: str, values: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Replace the place of each value by its line, or by its number if the whole text is one line."""
    if "\n" not in text.strip():
        yield from ((number, value) for number, (_, value) in enumerate(values, start=1))
        return
    line, at = 1, 0
    for place, value in values:
        line, at = line + text.count("\n", at, place), place
        yield line, value


def _is_by_split(start: str) -> bool:
    match = FIRST_KEY.match(start)
    return match is not None and SPLIT.search(match[1].lower()) is not None


def _read_whole(path: Path, start: str, pieces: Iterator[tuple[int, str]]) -> str:
    parts, length = [start], len(start)
    for _, piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length > ARRAY_LIMIT:
            raise UnreadableError(
                "size", path, "JSON of over 256 MB that is one value; write JSON Lines, a record a line"
            )
    return "".join(parts)


def _decode(path: Path, text: str, place: int) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(text, place)
    except json.JSONDecodeError as error:
        message = f"not JSON ({describe_json_fault(error)}); is it cut off?"
        raise UnreadableError("json", f"{path}:{error.lineno}", message) from None
    except (ValueError, RecursionError) as error:
        message = f"not the JSON of a corpus: {describe_json_fault(error)}"
        raise UnreadableError("json", f"{path}:{_line(text, place)}", message) from None


def _expect(path: Path, text: str, place: int, mark: str) -> None:
    if text[place : place + 1] != mark:
        found = repr(text[place : place + 20]) if place < len(text) else "the end of the file; is it cut off?"
        raise UnreadableError("json", f"{path}:{_line(text, place)}", f"not JSON: {mark!r} expected, not {found}")


def _skip(text: str, place: int) -> int:
    match = BLANK.match(text, place)
    assert match is not None
    return match.end()


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
