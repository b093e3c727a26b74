"""Parquet and CSV as Hugging Face datasets write them: a row is a sentence, a list of words and one of tags."""

import ast
import csv
import io
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.corpus.columns import Columns, named
from stages.corpus.findings import Findings, UnreadableError
from stages.corpus.sentences import BLOCK_WORDS, NO_DOCUMENT, Block, BlockBuilder
from stages.corpus.text_files import guarded, texts

ROWS = 4096  # in a block
DATASET_INFO = "dataset_info.json"  # what `Dataset.save_to_disk` writes beside the data; names the tags of a CSV
MAX_CELL = 1 << 24  # characters
# The lists in a CSV are Python's own (a comma between items) or NumPy's (a blank); items are strings or numbers.
ITEM = re.compile(r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(-?\d+)|(,))""", re.DOTALL)


def read_parquet(path: Path, stream: BinaryIO, columns: Columns, findings: Findings) -> Iterator[Block]:
    """Blocks of a Parquet file. Tags are strings, or numbers whose names the file's metadata holds."""
    with _seekable(path, stream) as seekable:
        try:
            parquet = pq.ParquetFile(seekable)
            words_name, tags_name = named(columns, parquet.schema_arrow.names, path)
            names = _tag_names(_features(parquet.schema_arrow), tags_name)
            row = 1
            for batch in parquet.iter_batches(ROWS, columns=[words_name, tags_name]):
                words, tags = _lists(batch, words_name, path), _lists(batch, tags_name, path)
                yield from _table_block(path, words, tags, names=names, row=row, findings=findings)
                row += len(batch)
        except (pa.ArrowException, OSError) as error:
            first = str(error).splitlines()[0]
            raise UnreadableError("parquet", path, f"is no whole Parquet file: {first}") from None


def read_csv(path: Path, stream: BinaryIO, columns: Columns, findings: Findings) -> Iterator[Block]:
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
        names = _tag_names(_info_beside(path), tags_name)
        line = lines.count + 1
        for cells in rows:
            try:
                words, tags = _row(cells, header, words_name, tags_name, names)
            except ValueError as error:
                findings.add("error", "record", f"{path}:{line}", str(error))
            else:
                if words:
                    building.add(words, tags, line)
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
    """Words and tags of a row; ValueError says what is wrong with it."""
    if not cells:
        return [], []
    if len(cells) != len(header):
        raise ValueError(f"has {len(cells)} cells, but the header has {len(header)}")
    words, tags = (_list(cells[header.index(name)], name) for name in (words_name, tags_name))
    if len(words) != len(tags):
        raise ValueError(f"{len(words)} words but {len(tags)} tags")
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"the word {word} has no quotes; is {words_name} the column of words?")
    return words, [tag if isinstance(tag, str) else _name(tag, names) for tag in tags]


def _list(cell: str, name: str) -> list[Any]:
    """The strings or numbers of the list in a cell."""
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"{name} must be a list in brackets, not {text[:80]!r}")
    items: list[Any] = []
    at, body = 0, text[1:-1].rstrip()
    while at < len(body):
        match = ITEM.match(body, at)
        if match is None:
            lost = "; NumPy shortened it, so words are lost: write JSON Lines or Parquet" if "..." in body[at:] else ""
            raise ValueError(f"{name} is no list of strings or numbers{lost}: {body[at : at + 80]!r}")
        string, number, _ = match.groups()
        if string or number:
            items.append(ast.literal_eval(string) if string else int(number))
        at = match.end()
    return items


def _name(number: int, names: list[str] | None) -> str:
    if names is None:
        raise ValueError(
            f"the tag {number} is a number that nothing names; write the tags themselves, or see the README"
        )
    if not 0 <= number < len(names):
        raise ValueError(f"the tag {number} has no name; there are {len(names)}, from 0: {', '.join(names)[:80]}")
    return names[number]


def _table_block(
    path: Path, words: pa.ListArray, tags: pa.ListArray, *, names: list[str] | None, row: int, findings: Findings
) -> Iterator[Block]:
    """The block of some rows, the first of which is number `row`; rows without a word are left out."""
    word_counts, tag_counts = (_lengths(column) for column in (words, tags))
    unequal = np.flatnonzero(word_counts != tag_counts)
    findings.add_all(
        "error",
        "record",
        len(unequal),
        ((f"{path}:{row + n}", f"{word_counts[n]} words but {tag_counts[n]} tags") for n in map(int, unequal)),
    )
    kept = np.flatnonzero((word_counts == tag_counts) & (word_counts > 0))
    if not len(kept):
        return
    words, tags, counts = words.take(pa.array(kept)), tags.take(pa.array(kept)), word_counts[kept]
    lines = np.repeat(kept + row, counts).astype(np.int32)
    flat_words, flat_tags = words.flatten(), tags.flatten()
    absent = np.flatnonzero(pc.or_(flat_words.is_null(), flat_tags.is_null()).to_numpy(zero_copy_only=False))
    findings.add_all(
        "error", "record", len(absent), ((f"{path}:{lines[n]}", "holds a word or tag that is null") for n in absent)
    )
    if len(absent):
        return
    if pa.types.is_integer(flat_tags.type):
        numbers = flat_tags.to_numpy()
        nameless = np.flatnonzero((numbers < 0) | (numbers >= len(names or [])))
        findings.add_all(
            "error",
            "tag-number",
            len(nameless),
            ((f"{path}:{lines[n]}", _nameless(int(numbers[n]), names)) for n in nameless),
        )
        if len(nameless):
            return
        flat_tags = pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), pa.array(names, pa.string()))
    else:
        flat_tags = flat_tags.cast(pa.string()).dictionary_encode()
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    yield Block(
        source=str(path),
        words=pa.ListArray.from_arrays(offsets, flat_words.cast(pa.string())),
        tags=flat_tags,
        lines=lines,
        documents=np.full(len(kept), NO_DOCUMENT, np.int32),
    )


def _nameless(number: int, names: list[str] | None) -> str:
    try:
        return _name(number, names)
    except ValueError as error:
        return str(error)


def _lists(batch: pa.RecordBatch, name: str, path: Path) -> pa.ListArray:
    column = batch.column(name)
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise UnreadableError("column", path, f"its column {name} holds {kind}, but must hold lists, a sentence a row")
    inner = kind.value_type
    wanted = [pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_dictionary]
    if not any(test(inner) for test in wanted):
        raise UnreadableError(
            "column", path, f"its column {name} holds lists of {inner}, not of strings or tag numbers"
        )
    return column


def _lengths(column: pa.ListArray) -> Any:
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What Hugging Face datasets note of the columns in a file's metadata; empty if another program wrote it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _info_beside(path: Path) -> dict[str, Any]:
    for folder in (path.parent, path.parent.parent):
        try:
            features = json.loads((folder / DATASET_INFO).read_text(encoding="utf-8"))["features"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return features if isinstance(features, dict) else {}
    return {}


def _tag_names(features: dict[str, Any], column: str) -> list[str] | None:
    """The names of a column's tag numbers: a list (feature `List` or `Sequence`) of `ClassLabel`."""
    feature = features.get(column)
    inner = feature.get("feature") if isinstance(feature, dict) else None
    names = inner.get("names") if isinstance(inner, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def _seekable(path: Path, stream: BinaryIO) -> Any:
    """A file that Parquet can jump about in: the stream itself, or what a gzip holds, unpacked to a temporary file."""
    if isinstance(stream, io.BufferedReader):
        return pa.PythonFile(stream, mode="r")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    for data in guarded(path, stream):
        unpacked.write(data)
    unpacked.seek(0)
    return unpacked
