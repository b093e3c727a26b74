"""JSON Lines and JSON arrays: words with tags, or text with spans as doccano, Prodigy and Label Studio export it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stages.corpus.annotations.prodigy import merge_binary_records
from stages.corpus.readers.columns import Columns
from stages.corpus.readers.records import Record, format_value, read_records
from stages.corpus.readers.tag_names import features_beside
from stages.corpus.readers.text_files import read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.sentences import Block

ARRAY_LIMIT = 1 << 28  # characters; an array is read into memory as a whole


def read_json(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield the records of a file in blocks; records that are not annotated text become errors in `diagnostics`."""
    records = merge_binary_records(path, _read_objects(path, stream, diagnostics), diagnostics)
    yield from read_records(path, records, columns, features_beside(path, columns.place), diagnostics)


def _read_objects(path: Path, stream: BinaryIO, diagnostics: Diagnostics) -> Iterator[tuple[int, Record]]:
    """Yield each record with its line, or with its number where the file is one array."""
    pieces = read_text(path, stream, diagnostics)
    first = next(pieces, (1, ""))
    if first[1].lstrip().startswith("["):
        text = first[1]
        for _, piece in pieces:
            text += piece
            if len(text) > ARRAY_LIMIT:
                raise UnreadableError("size", path, "a JSON array of over 256 MB; write JSON Lines, a record a line")
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UnreadableError(
                "json", f"{path}:{error.lineno}", f"not JSON ({describe_json_fault(error)}); is it cut off?"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UnreadableError("json", path, f"not the JSON of a corpus: {describe_json_fault(error)}") from None
        yield from _select_objects(path, enumerate(values, start=1), diagnostics)
        return
    if first[1].lstrip().startswith("{\n"):
        raise UnreadableError("json", f"{path}:1", "an object over several lines; write one on each line, or an array")
    yield from _select_objects(path, _parse_lines(path, first, pieces, diagnostics), diagnostics)


def _parse_lines(
    path: Path, first: tuple[int, str], pieces: Iterator[tuple[int, str]], diagnostics: Diagnostics
) -> Iterator[tuple[int, Any]]:
    piece: tuple[int, str] | None = first
    while piece is not None:
        for number, line in enumerate(piece[1].split("\n"), start=piece[0]):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                diagnostics.add(
                    "error",
                    "json",
                    f"{path}:{number}",
                    f"not JSON ({describe_json_fault(error)}): {line.strip()[:80]!r}",
                )
        piece = next(pieces, None)


def describe_json_fault(error: ValueError | RecursionError) -> str:
    """Say why a text could not be read as JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at character {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits"


def _select_objects(
    path: Path, values: Iterator[tuple[int, Any]] | enumerate[Any], diagnostics: Diagnostics
) -> Iterator[tuple[int, Record]]:
    for line, value in values:
        if isinstance(value, dict):
            yield line, value
        else:
            diagnostics.add(
                "error", "json", f"{path}:{line}", f"needs an object with words and tags: {format_value(value)}"
            )
