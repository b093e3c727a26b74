"""Parquet and CSV as Hugging Face datasets write them: a row is a sentence, with a list of words and one of tags."""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.corpus.readers.columns import DOCUMENT_NAMES, Columns, choose_names
from stages.corpus.readers.records import Record, read_records
from stages.corpus.readers.tag_names import features_beside, features_of, tag_name, tag_names
from stages.corpus.readers.text_files import read_chunks, read_text
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.documents import DocumentNumbers
from stages.corpus.text.sentences import NO_DOCUMENT, Block, Int32s
from stages.errors import first_line

ROWS = 16384  # in a block
MAX_CELL = 1 << 24  # characters
SEPARATORS = ",\t;"
LIST_TYPES = (
    pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view,
    pa.types.is_large_list_view,
)  # fmt: skip
TEXT_TYPES = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_dictionary,
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
)  # fmt: skip


def read_parquet(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield the blocks of a Parquet file. Tags are strings, or numbers that the file's metadata names.

    Columns of text are read like those of a CSV: with a list in each cell, or as text beside spans.
    """
    with open_seekable(path, stream) as seekable:
        try:
            parquet = pq.ParquetFile(seekable)
            schema = parquet.schema_arrow
            words_name, tags_name = choose_names(columns, schema.names, path)
            features = features_of(schema) or features_beside(path, columns.place)
            document_name = next((name for name in DOCUMENT_NAMES if name in schema.names), None)
            wanted = [words_name, tags_name, *([document_name] if document_name else [])]
            batches = parquet.iter_batches(ROWS, columns=wanted)
            if _is_text(schema.field(words_name).type) and not _holds_tags(schema.field(tags_name).type):
                columns = replace(columns, words=words_name, tags=tags_name)
                yield from read_records(path, _list_rows(batches), columns, features, diagnostics)
                return
            row, documents = 1, DocumentNumbers()
            for batch in batches:
                rows = TableRows(
                    path,
                    np.arange(row, row + len(batch), dtype=np.int32),
                    _plain_lists(batch, words_name, path),
                    _plain_lists(batch, tags_name, path, may_be_numbers=True),
                    np.array(documents.assign(batch.column(document_name).to_pylist()), np.int32)
                    if document_name
                    else np.full(len(batch), NO_DOCUMENT, np.int32),
                )
                yield from _build_block(rows, tag_names(features, tags_name), diagnostics)
                row += len(batch)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            message = f"is not a complete Parquet file. Write it again, or set data.format. ({first_line(error)})"
            raise UnreadableError("parquet", path, message) from None


def read_csv(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield the blocks of a file with a header whose cells are separated by commas, tabs or semicolons.

    A cell holds a list of words or of tags, or a text beside a list of spans. Tags are strings, or numbers that a
    dataset_info.json names.
    """
    lines = _CountedLines(text for _, text in read_text(path, stream, diagnostics))
    first = next(lines, "")
    csv.field_size_limit(MAX_CELL)
    rows = csv.reader(chain([first], lines), strict=True, delimiter=max(SEPARATORS, key=first.count))
    try:
        header = next(rows, [])
        if header:
            words, tags = choose_names(columns, header, path)
            columns = replace(columns, words=words, tags=tags)
            records = _read_rows(path, rows, header, lines, diagnostics)
            yield from read_records(path, records, columns, features_beside(path, columns.place), diagnostics)
    except csv.Error as error:
        raise UnreadableError("csv", f"{path}:{lines.count}", f"not CSV: {error}") from None


def _read_rows(
    path: Path, rows: Iterator[list[str]], header: list[str], lines: "_CountedLines", diagnostics: Diagnostics
) -> Iterator[tuple[int, Record]]:
    """Yield the cells of each row by their names in the header, with its first line."""
    line = lines.count + 1
    for cells in rows:
        if len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        elif cells:
            message = f"has {len(cells)} cells, but the header has {len(header)}"
            diagnostics.add("error", "record", f"{path}:{line}", message)
        line = lines.count + 1


def _list_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, Record]]:
    rows = (row for batch in batches for row in batch.to_pylist())
    return enumerate(rows, start=1)


class _CountedLines:
    """Iterates over the lines of some texts and counts them."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._lines = (line for piece in pieces for line in io.StringIO(piece, newline="\n"))
        self.count = 0

    def __iter__(self) -> "_CountedLines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        return line


class TableRows(NamedTuple):
    """Rows of a file, each with its number in the file, from 1, and that of its document."""

    path: Path
    numbers: Int32s
    words: pa.ListArray
    tags: pa.ListArray
    documents: Int32s

    def take(self, places: npt.NDArray[np.integer]) -> "TableRows":
        """Return the rows at some places."""
        words, tags = (column.take(pa.array(places)) for column in (self.words, self.tags))
        return TableRows(self.path, self.numbers[places], words, tags, self.documents[places])


def _build_block(rows: TableRows, names: list[str] | None, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield one block of the rows that have a word and no fault."""
    word_counts, tag_counts = (_lengths(column) for column in (rows.words, rows.tags))
    faults = FaultReporter(rows.path, rows.numbers, diagnostics)
    faults.add("record", word_counts != tag_counts, lambda n: f"{word_counts[n]} words but {tag_counts[n]} tags")
    is_usable = (word_counts == tag_counts) & (word_counts > 0)
    if not is_usable.all():
        rows = rows.take(np.flatnonzero(is_usable))
    if not len(rows.numbers):
        return
    counts = word_counts[is_usable]
    lines = np.repeat(rows.numbers, counts)
    words, tags = rows.words.flatten(), rows.tags.flatten()
    faults = FaultReporter(rows.path, lines, diagnostics)
    _check_words(words, tags, names, faults)
    if faults.rows:
        sound = np.flatnonzero(~np.isin(rows.numbers, list(faults.rows)))
        yield from _build_block(rows.take(sound), names, diagnostics)
        return
    if pa.types.is_integer(tags.type):
        tags = pa.array(names, pa.string()).take(tags)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    yield Block(
        source=str(rows.path),
        words=pa.ListArray.from_arrays(offsets, words),
        tags=tags.dictionary_encode(),  # only tags that occur; `names` may have more
        lines=lines,
        documents=rows.documents,
    )


def _check_words(words: pa.Array, tags: pa.Array, names: list[str] | None, faults: "FaultReporter") -> None:
    """Report each word whose word or tag is unusable; the later checks only if the earlier found nothing."""
    absent = pc.or_(words.is_null(), tags.is_null()).to_numpy(zero_copy_only=False)
    faults.add("record", absent, lambda _: "holds a word or tag that is null")
    if not faults.rows:
        invalid = is_invalid_utf8(words) | is_invalid_utf8(tags)
        faults.add("encoding", invalid, lambda _: "holds a word or tag that is not UTF-8")
    if not faults.rows and pa.types.is_integer(tags.type):
        numbers = tags.to_numpy()
        nameless = (numbers < 0) | (numbers >= len(names or []))
        faults.add("tag-number", nameless, lambda n: _describe_nameless(int(numbers[n]), names))


@dataclass
class FaultReporter:
    """Adds errors for rows or words of a file; `lines` has the row of each. `rows` are those that have a fault."""

    path: Path
    lines: Int32s
    diagnostics: Diagnostics
    rows: set[int] = field(default_factory=set)

    def add(self, code: str, faulty: npt.NDArray[np.bool_], message: Callable[[int], str]) -> None:
        """Add an error for each that is faulty; `message` describes the fault of one."""
        at = np.flatnonzero(faulty)
        rows = set(self.lines[at].tolist())
        examples = ((f"{self.path}:{self.lines[n]}", message(int(n))) for n in at)
        self.diagnostics.add_all("error", code, len(at), examples, faulty=len(rows))
        self.rows |= rows


def _describe_nameless(number: int, names: list[str] | None) -> str:
    try:
        return tag_name(number, names)
    except AnnotationError as error:
        return str(error)


def _cast_strings(column: pa.Array) -> pa.Array:
    """Cast strings of any Arrow type to `string`, even if they are not UTF-8; numbers are unchanged."""
    if pa.types.is_integer(column.type):
        return column
    return column.cast(options=pc.CastOptions(pa.string(), allow_invalid_utf8=True))


def is_invalid_utf8(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Which strings are not UTF-8; Arrow does not validate them when it reads."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return np.array([not _is_utf8(value) for value in column.cast(pa.binary()).to_pylist()])
    return np.zeros(len(column), bool)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in TEXT_TYPES)


def _holds_tags(kind: pa.DataType) -> bool:
    """Whether a column holds lists of strings or of numbers, and neither spans nor text with a list in it."""
    return any(test(kind) for test in LIST_TYPES) and not pa.types.is_nested(kind.value_type)


def _plain_lists(batch: pa.RecordBatch, name: str, path: Path, *, may_be_numbers: bool = False) -> pa.ListArray:
    """Return a column as lists of strings, or of whole numbers where that is allowed, in the plain types of Arrow.

    Arrow has many types for both: large ones, views, dictionaries, bytes. UnreadableError for any other content.
    """
    column = batch.column(name)
    kind = column.type
    if not any(test(kind) for test in LIST_TYPES):
        raise UnreadableError("column", path, f"its column {name} holds {kind}, but must hold lists, a sentence a row")
    inner = kind.value_type
    is_number = may_be_numbers and pa.types.is_integer(inner)
    if not (is_number or _is_text(inner) or pa.types.is_null(inner)):
        wanted = "strings or tag numbers" if may_be_numbers else "strings"
        raise UnreadableError("column", path, f"its column {name} holds lists of {inner}, not of {wanted}")
    # Not a cast of the lists: pyarrow 25 makes an array without its last offset of a list_view.
    offsets = np.concatenate([[0], np.cumsum(_lengths(column))]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, _cast_strings(column.flatten()))


def _lengths(column: pa.ListArray) -> Any:
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)


@contextmanager
def open_seekable(path: Path, stream: BinaryIO) -> Iterator[Any]:
    """Yield a seekable file: the stream itself, or a temporary file with the decompressed content of a gzip."""
    if isinstance(stream, io.BufferedReader):
        yield pa.PythonFile(stream, mode="r")
        return
    with tempfile.TemporaryFile() as unpacked:
        for data in read_chunks(path, stream):
            unpacked.write(data)
        unpacked.seek(0)
        yield unpacked
