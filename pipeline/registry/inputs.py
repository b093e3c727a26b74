"""What somebody hands to a model: texts or pairs of texts, as lines, JSON Lines or a table."""

import csv
import json
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from stages.errors import UserError, list_faults
from stages.scoring import Presentation

SEPARATORS = {".csv": ",", ".tsv": "\t"}  # of files that are tables, by their suffix
MAX_CELL = 1 << 24  # characters
STDIN = "<stdin>"  # Python's name of standard input
STANDARD_INPUT = "standard input"  # in messages


@dataclass(frozen=True)
class Record:
    """A line, or the fields of a JSON object or of a row of a table."""

    place: str  # file:line
    given: str | Mapping[str, Any]


def read_inputs(records: Iterable[Record], presentation: Presentation, config: Mapping[str, Any]) -> list[Any]:
    """What the model with this config.json takes; one UserError reports all faults, each with its line."""
    inputs, faults = [], []
    for record in records:
        try:
            inputs.append(presentation.read_input(record.given, config))
        except ValueError as error:
            faults.append(f"{record.place}: {error}")
    if faults:
        raise UserError(list_faults("The texts are not usable:", faults))
    return inputs


def read_records(file: BinaryIO) -> Iterator[Record]:
    """Yield the rows of a table, which a file is by its suffix, or lines; UserError if it is not text in UTF-8."""
    path = getattr(file, "name", STDIN)
    name = STANDARD_INPUT if path == STDIN else path
    text = _decode(file, name)
    separator = SEPARATORS.get(Path(name.removesuffix(".gz")).suffix)
    if separator is not None:
        yield from _read_table(text, name, separator)
        return
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        yield Record(f"{name}:{number}", _read_line(line))


def _read_line(line: str) -> str | dict[str, Any]:
    """The fields of a JSON object, or else the line."""
    if line.startswith("{"):
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            return line
        return found
    return line


def _read_table(text: str, name: str, separator: str) -> Iterator[Record]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=separator, strict=True)
    start = 2  # the line on which a row begins: its cells may hold line ends
    try:
        for row in reader:
            yield Record(f"{name}:{start}", {key: cell for key, cell in row.items() if key is not None})
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{name}:{start}: not a table with {separator!r} between its cells: {error}") from None


def _decode(file: BinaryIO, name: str) -> str:
    """The text of a file, decoded as carefully as a corpus."""
    from stages.corpus.readers.text_files import open_data, read_text
    from stages.corpus.text.diagnostics import UnreadableError

    with tempfile.NamedTemporaryFile() as copy:  # a pipe has no position, by which a corpus is read
        shutil.copyfileobj(file, copy)
        copy.flush()
        try:
            with open_data(Path(copy.name)) as stream:
                return "".join(piece for _, piece in read_text(Path(copy.name), stream))
        except UnreadableError as error:
            in_command = "FILE" if name == STANDARD_INPUT else shlex.quote(name)
            message = error.message.replace(copy.name, in_command)
            raise UserError(f"{error.where.replace(copy.name, name)}: {message}") from None
