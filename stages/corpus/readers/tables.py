"""Parquet and CSV as Hugging Face datasets write them: a row is a sentence, a list of words and one of tags."""

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

from stages.corpus.readers.columns import DOCUMENT_NAMES, Columns, named
from stages.corpus.readers.tag_names import features_beside, features_of, tag_name, tag_names
from stages.corpus.readers.text_files import guarded, texts
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.documents import Documents
from stages.corpus.text.sentences import BLOCK_WORDS, NO_DOCUMENT, Block, BlockBuilder, check_characters
from stages.errors import first_line

ROWS = 16384  # in a block
MAX_CELL = 1 << 24  # characters
# The lists in a CSV are Python's own (a comma between items) or NumPy's (a blank); items are strings or numbers.
ITEM = re.compile(r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(-?\d{1,18}(?![\d.]))|(,))""", re.DOTALL)


def read_parquet(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Blocks of a Parquet file. Tags are strings, or numbers whose names the file's metadata holds."""
    with _seekable(path, stream) as seekable:
        try:
            parquet = pq.ParquetFile(seekable)
            present = parquet.schema_arrow.names
            words_name, tags_name = named(columns, present, path)
            names = tag_names(features_of(parquet.schema_arrow) or features_beside(path, columns.place), tags_name)
            document_name = next((name for name in DOCUMENT_NAMES if name in present), None)
            wanted = [words_name, tags_name, *([document_name] if document_name else [])]
            row, documents = 1, Documents()
            for batch in parquet.iter_batches(ROWS, columns=wanted):
                words, tags = _lists(batch, words_name, path), _lists(batch, tags_name, path, numbered=True)
                numbers = documents.numbered(batch.column(document_name).to_pylist()) if document_name else None
                rows = TableRows(path, row, words, tags, numbers)
                yield from _table_block(rows, names, diagnostics)
                row += len(batch)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            message = f"is no whole Parquet file. Write it anew, or set data.format. ({first_line(error)})"
            raise UnreadableError("parquet", path, message) from None


def read_csv(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Blocks of a CSV file with a header. Tags are strings, or numbers that a dataset_info.json beside it names."""
    lines = _CountedLines(text for _, text in texts(path, stream))
    csv.field_size_limit(MAX_CELL)
    rows = csv.reader(lines, strict=True)
    building = BlockBuilder()
    try:
        header = next(rows, [])
        if not header:
            return
        words_name, tags_name = named(columns, header, path)
        names = tag_names(features_beside(path, columns.place), tags_name)
        document = next((header.index(name) for name in DOCUMENT_NAMES if name in header), None)
        documents = Documents()
        line = lines.count + 1
        for cells in rows:
            try:
                words, tags = _row(cells, header, words_name, tags_name, names)
            except AnnotationError as error:
                diagnostics.add("error", "record", f"{path}:{line}", str(error))
            else:
                if words:
                    number = NO_DOCUMENT if document is None else documents.numbered([cells[document]])[0]
                    building.add(words, tags, line, number)
            if building.words >= BLOCK_WORDS:
                yield building.block(str(path))
                building = BlockBuilder()
            line = lines.count + 1
    except csv.Error as error:
        raise UnreadableError("csv", f"{path}:{lines.count}", f"no CSV: {error}") from None
    if building.sentences:
        yield building.block(str(path))


class _CountedLines:
    """The lines of some texts, and how many have been taken."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._lines = (line for piece in pieces for line in io.StringIO(piece, newline="\n"))
        self.count = 0

    def __iter__(self) -> "_CountedLines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        return line


def _row(
    cells: list[str], header: list[str], words_name: str, tags_name: str, names: list[str] | None
) -> tuple[list[str], list[str]]:
    """Words and tags of a row; AnnotationError says what is wrong with it."""
    if not cells:
        return [], []
    if len(cells) != len(header):
        raise AnnotationError(f"has {len(cells)} cells, but the header has {len(header)}")
    words, tags = (_list(cells[header.index(name)], name) for name in (words_name, tags_name))
    if len(words) != len(tags):
        raise AnnotationError(f"{len(words)} words but {len(tags)} tags")
    for word in words:
        if not isinstance(word, str):
            raise AnnotationError(f"the word {word} has no quotes; is {words_name} the column of words?")
    tags = [tag if isinstance(tag, str) else tag_name(tag, names) for tag in tags]
    check_characters([*words, *tags])
    return words, tags


def _list(cell: str, name: str) -> list[Any]:
    """The strings or numbers of the list in a cell."""
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise AnnotationError(f"{name} must be a list in brackets, a sentence a row, not {text[:80]!r}")
    items: list[Any] = []
    at, body = 0, text[1:-1].rstrip()
    while at < len(body):
        match = ITEM.match(body, at)
        if match is None:
            lost = "; NumPy shortened it, so words are lost: write JSON Lines or Parquet" if "..." in body[at:] else ""
            raise AnnotationError(f"{name} is no list of strings or numbers{lost}: {body[at : at + 80]!r}")
        string, number, _ = match.groups()
        if string or number:
            items.append(_string(name, string) if string else int(number))
        at = match.end()
    return items


def _string(name: str, quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes like \\d, which mean themselves
            return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        raise AnnotationError(f"{name} has a string with an escape that is none: {quoted[:80]}") from None


class TableRows(NamedTuple):
    """Some rows of a table, the first of which is row `row` of the file; `documents` numbers theirs, where named."""

    path: Path
    row: int
    words: pa.ListArray
    tags: pa.ListArray
    documents: list[int] | None


def _table_block(rows: TableRows, names: list[str] | None, diagnostics: Diagnostics) -> Iterator[Block]:
    """The block of some rows; those without a word are left out. Nothing if a row is at fault."""
    words, tags = rows.words, rows.tags
    word_counts, tag_counts = (_lengths(column) for column in (words, tags))
    faults = Faults(rows.path, np.arange(len(words)) + rows.row, diagnostics)
    faults.add("record", word_counts != tag_counts, lambda n: f"{word_counts[n]} words but {tag_counts[n]} tags")
    kept = np.flatnonzero((word_counts == tag_counts) & (word_counts > 0))
    if not len(kept):
        return
    if len(kept) < len(words):
        words, tags = words.take(pa.array(kept)), tags.take(pa.array(kept))
    counts = word_counts[kept]
    lines = np.repeat(kept + rows.row, counts).astype(np.int32)
    flat_words, flat_tags = _plain(words.flatten()), _plain(tags.flatten())

    faults = Faults(rows.path, lines, diagnostics)
    absent = pc.or_(flat_words.is_null(), flat_tags.is_null()).to_numpy(zero_copy_only=False)
    faults.add("record", absent, lambda _: "holds a word or tag that is null")
    if not faults.any:
        faults.add(
            "encoding", _not_utf8(flat_words) | _not_utf8(flat_tags), lambda _: "holds a word or tag that is not UTF-8"
        )
    if not faults.any and pa.types.is_integer(flat_tags.type):
        numbers = flat_tags.to_numpy()
        nameless = (numbers < 0) | (numbers >= len(names or []))
        faults.add("tag-number", nameless, lambda n: _nameless(int(numbers[n]), names))
        if not faults.any:
            flat_tags = pa.array(names, pa.string()).take(flat_tags)
    if faults.any:
        return
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    yield Block(
        source=str(rows.path),
        words=pa.ListArray.from_arrays(offsets, flat_words),
        tags=flat_tags.dictionary_encode(),  # of those that occur; names may be more
        lines=lines,
        documents=np.full(len(kept), NO_DOCUMENT, np.int32)
        if rows.documents is None
        else np.array(rows.documents, np.int32)[kept],
    )


@dataclass
class Faults:
    """Finds fault with rows or words of a file; `lines` has the row of each."""

    path: Path
    lines: npt.NDArray[np.integer]
    diagnostics: Diagnostics
    any: bool = False

    def add(self, code: str, faulty: npt.NDArray[np.bool_], message: Callable[[int], str]) -> None:
        """An error for each that is faulty; `message` says of one what is wrong."""
        at = np.flatnonzero(faulty)
        self.diagnostics.add_all(
            "error", code, len(at), ((f"{self.path}:{self.lines[n]}", message(int(n))) for n in at)
        )
        self.any |= len(at) > 0


def _nameless(number: int, names: list[str] | None) -> str:
    try:
        return tag_name(number, names)
    except AnnotationError as error:
        return str(error)


def _plain(column: pa.Array) -> pa.Array:
    """Numbers as they are, strings of any Arrow type as one."""
    return column if pa.types.is_integer(column.type) else column.cast(pa.string())


def _not_utf8(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Which strings are not; Arrow looks when it is asked to, not as it reads."""
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


def _lists(batch: pa.RecordBatch, name: str, path: Path, *, numbered: bool = False) -> pa.ListArray:
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
    texts_of = [pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary]
    if not any(test(inner) for test in texts_of) and not (numbered and pa.types.is_integer(inner)):
        wanted = "strings or tag numbers" if numbered else "strings"
        raise UnreadableError("column", path, f"its column {name} holds lists of {inner}, not of {wanted}")
    return column


def _lengths(column: pa.ListArray) -> Any:
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)


@contextmanager
def _seekable(path: Path, stream: BinaryIO) -> Iterator[Any]:
    """A file that Parquet can jump about in: the stream itself, or what a gzip holds, unpacked to a temporary file."""
    if isinstance(stream, io.BufferedReader):
        yield pa.PythonFile(stream, mode="r")
        return
    with tempfile.TemporaryFile() as unpacked:
        for data in guarded(path, stream):
            unpacked.write(data)
        unpacked.seek(0)
        yield unpacked
