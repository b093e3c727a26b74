"""Parquet and CSV as Hugging Face datasets write them: a row is a sentence, with a list of words and one of tags."""

import ast
import csv
import io
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.corpus.readers.columns import DOCUMENT_NAMES, Columns, choose_names
from stages.corpus.readers.tag_names import features_beside, features_of, tag_name, tag_names
from stages.corpus.readers.text_files import read_chunks, read_text
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.documents import DocumentNumbers
from stages.corpus.text.sentences import BLOCK_WORDS, NO_DOCUMENT, Block, BlockBuilder, check_characters
from stages.errors import first_line

ROWS = 16384  # in a block
MAX_CELL = 1 << 24  # characters
# Lists in a CSV are written by Python (a comma between items) or NumPy (a blank); items are strings or numbers.
ITEM = re.compile(r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(-?\d{1,18}(?![\d.]))|(,))""", re.DOTALL)


def read_parquet(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield the blocks of a Parquet file. Tags are strings, or numbers that the file's metadata names."""
    with _open_seekable(path, stream) as seekable:
        try:
            parquet = pq.ParquetFile(seekable)
            present = parquet.schema_arrow.names
            words_name, tags_name = choose_names(columns, present, path)
            names = tag_names(features_of(parquet.schema_arrow) or features_beside(path, columns.place), tags_name)
            document_name = next((name for name in DOCUMENT_NAMES if name in present), None)
            wanted = [words_name, tags_name, *([document_name] if document_name else [])]
            row, documents = 1, DocumentNumbers()
            for batch in parquet.iter_batches(ROWS, columns=wanted):
                words, tags = (
                    _list_column(batch, words_name, path),
                    _list_column(batch, tags_name, path, may_be_numbers=True),
                )
                numbers = documents.assign(batch.column(document_name).to_pylist()) if document_name else None
                rows = TableRows(path, row, words, tags, numbers)
                yield from _build_block(rows, names, diagnostics)
                row += len(batch)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            message = f"is not a complete Parquet file. Write it again, or set data.format. ({first_line(error)})"
            raise UnreadableError("parquet", path, message) from None


def read_csv(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield the blocks of a CSV file with a header. Tags are strings, or numbers that a dataset_info.json names."""
    lines = _CountedLines(text for _, text in read_text(path, stream))
    csv.field_size_limit(MAX_CELL)
    rows = csv.reader(lines, strict=True)
    builder = BlockBuilder()
    try:
        header = next(rows, [])
        if not header:
            return
        words_name, tags_name = choose_names(columns, header, path)
        names = tag_names(features_beside(path, columns.place), tags_name)
        document = next((header.index(name) for name in DOCUMENT_NAMES if name in header), None)
        documents = DocumentNumbers()
        line = lines.count + 1
        for cells in rows:
            try:
                words, tags = _parse_row(cells, header, words_name, tags_name, names)
            except AnnotationError as error:
                diagnostics.add("error", "record", f"{path}:{line}", str(error))
            else:
                if words:
                    number = NO_DOCUMENT if document is None else documents.assign([cells[document]])[0]
                    builder.add(words, tags, line, number)
            if builder.word_count >= BLOCK_WORDS:
                yield builder.build(str(path))
                builder = BlockBuilder()
            line = lines.count + 1
    except csv.Error as error:
        raise UnreadableError("csv", f"{path}:{lines.count}", f"not CSV: {error}") from None
    if builder.sentences:
        yield builder.build(str(path))


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


def _parse_row(
    cells: list[str], header: list[str], words_name: str, tags_name: str, names: list[str] | None
) -> tuple[list[str], list[str]]:
    """Return words and tags of a row; AnnotationError if it is malformed."""
    if not cells:
        return [], []
    if len(cells) != len(header):
        raise AnnotationError(f"has {len(cells)} cells, but the header has {len(header)}")
    words, tags = (_parse_list(cells[header.index(name)], name) for name in (words_name, tags_name))
    if len(words) != len(tags):
        raise AnnotationError(f"{len(words)} words but {len(tags)} tags")
    for word in words:
        if not isinstance(word, str):
            raise AnnotationError(f"the word {word} has no quotes; is {words_name} the column of words?")
    tags = [tag if isinstance(tag, str) else tag_name(tag, names) for tag in tags]
    check_characters([*words, *tags])
    return words, tags


def _parse_list(cell: str, name: str) -> list[Any]:
    """Return the strings or numbers of the list in a cell."""
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise AnnotationError(f"{name} must be a list in brackets, a sentence a row, not {text[:80]!r}")
    items: list[Any] = []
    at, body = 0, text[1:-1].rstrip()
    while at < len(body):
        match = ITEM.match(body, at)
        if match is None:
            lost = "; NumPy shortened it, so words are lost: write JSON Lines or Parquet" if "..." in body[at:] else ""
            raise AnnotationError(f"{name} is not a list of strings or numbers{lost}: {body[at : at + 80]!r}")
        string, number, _ = match.groups()
        if string or number:
            items.append(_parse_string(name, string) if string else int(number))
        at = match.end()
    return items


def _parse_string(name: str, quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes like \\d, which mean themselves
            return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        raise AnnotationError(f"{name} has a string with an invalid escape: {quoted[:80]}") from None


class TableRows(NamedTuple):
    """Consecutive rows of a table, of which the first is row `row` of the file; `documents` is None if not named."""

    path: Path
    row: int
    words: pa.ListArray
    tags: pa.ListArray
    documents: list[int] | None


def _build_block(rows: TableRows, names: list[str] | None, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield one block of the rows that have a word; nothing if any row has a fault."""
    words, tags = rows.words, rows.tags
    word_counts, tag_counts = (_lengths(column) for column in (words, tags))
    faults = FaultReporter(rows.path, np.arange(len(words)) + rows.row, diagnostics)
    faults.add("record", word_counts != tag_counts, lambda n: f"{word_counts[n]} words but {tag_counts[n]} tags")
    kept = np.flatnonzero((word_counts == tag_counts) & (word_counts > 0))
    if not len(kept):
        return
    if len(kept) < len(words):
        words, tags = words.take(pa.array(kept)), tags.take(pa.array(kept))
    counts = word_counts[kept]
    lines = np.repeat(kept + rows.row, counts).astype(np.int32)
    flat_words, flat_tags = _cast_strings(words.flatten()), _cast_strings(tags.flatten())

    faults = FaultReporter(rows.path, lines, diagnostics)
    absent = pc.or_(flat_words.is_null(), flat_tags.is_null()).to_numpy(zero_copy_only=False)
    faults.add("record", absent, lambda _: "holds a word or tag that is null")
    if not faults.has_any:
        faults.add(
            "encoding",
            _is_invalid_utf8(flat_words) | _is_invalid_utf8(flat_tags),
            lambda _: "holds a word or tag that is not UTF-8",
        )
    if not faults.has_any and pa.types.is_integer(flat_tags.type):
        numbers = flat_tags.to_numpy()
        nameless = (numbers < 0) | (numbers >= len(names or []))
        faults.add("tag-number", nameless, lambda n: _describe_nameless(int(numbers[n]), names))
        if not faults.has_any:
            flat_tags = pa.array(names, pa.string()).take(flat_tags)
    if faults.has_any:
        return
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    yield Block(
        source=str(rows.path),
        words=pa.ListArray.from_arrays(offsets, flat_words),
        tags=flat_tags.dictionary_encode(),  # only tags that occur; `names` may have more
        lines=lines,
        documents=np.full(len(kept), NO_DOCUMENT, np.int32)
        if rows.documents is None
        else np.array(rows.documents, np.int32)[kept],
    )


@dataclass
class FaultReporter:
    """Adds errors for rows or words of a file; `lines` has the row of each."""

    path: Path
    lines: npt.NDArray[np.integer]
    diagnostics: Diagnostics
    has_any: bool = False

    def add(self, code: str, faulty: npt.NDArray[np.bool_], message: Callable[[int], str]) -> None:
        """Add an error for each that is faulty; `message` describes the fault of one."""
        at = np.flatnonzero(faulty)
        self.diagnostics.add_all(
            "error", code, len(at), ((f"{self.path}:{self.lines[n]}", message(int(n))) for n in at)
        )
        self.has_any |= len(at) > 0


def _describe_nameless(number: int, names: list[str] | None) -> str:
    try:
        return tag_name(number, names)
    except AnnotationError as error:
        return str(error)


def _cast_strings(column: pa.Array) -> pa.Array:
    """Cast strings of any Arrow type to `string`; numbers are unchanged."""
    return column if pa.types.is_integer(column.type) else column.cast(pa.string())


def _is_invalid_utf8(column: pa.Array) -> npt.NDArray[np.bool_]:
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


def _list_column(batch: pa.RecordBatch, name: str, path: Path, *, may_be_numbers: bool = False) -> pa.ListArray:
    column = batch.column(name)
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise UnreadableError(
            "column",
            path,
            f"its column {name} holds {kind}, but must hold lists, a sentence a row;"
            " text with spans comes as JSON Lines",
        )
    inner = kind.value_type
    string_types = [pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary]
    if not any(test(inner) for test in string_types) and not (may_be_numbers and pa.types.is_integer(inner)):
        wanted = "strings or tag numbers" if may_be_numbers else "strings"
        raise UnreadableError("column", path, f"its column {name} holds lists of {inner}, not of {wanted}")
    return column


def _lengths(column: pa.ListArray) -> Any:
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)


@contextmanager
def _open_seekable(path: Path, stream: BinaryIO) -> Iterator[Any]:
    """Yield a seekable file: the stream itself, or a temporary file with the decompressed content of a gzip."""
    if isinstance(stream, io.BufferedReader):
        yield pa.PythonFile(stream, mode="r")
        return
    with tempfile.TemporaryFile() as unpacked:
        for data in read_chunks(path, stream):
            unpacked.write(data)
        unpacked.seek(0)
        yield unpacked
