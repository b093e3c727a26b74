"""Parquet: a row is an example; labels may be strings, lists, or numbers that the metadata names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from stages.corpus.examples.readers.columns import Chosen, Columns, choose_columns
from stages.corpus.examples.readers.rows import ROWS, Rows
from stages.corpus.readers.tables import open_seekable
from stages.corpus.readers.tag_names import features_of
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.errors import first_line


def read_parquet(
    path: Path,
    stream: BinaryIO,
    columns: Columns,
    diagnostics: Diagnostics,  # noqa: ARG001 - as all readers have them
) -> Iterator[tuple[Chosen, Rows]]:
    """Yield the rows of a Parquet file, of any of Arrow's types for strings and lists."""
    with open_seekable(path, stream) as seekable:
        try:
            parquet = pq.ParquetFile(seekable)
            chosen = choose_columns(columns, parquet.schema_arrow.names, path)
            row = 1
            for batch in parquet.iter_batches(ROWS, columns=chosen.names):
                values = {name: _list_values(batch.column(name), f"{path}:{row}") for name in chosen.names}
                yield chosen, Rows(str(path), range(row, row + len(batch)), values)
                row += len(batch)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            message = f"is not a complete Parquet file. Write it again, or set data.format. ({first_line(error)})"
            raise UnreadableError("parquet", path, message) from None


def read_features(path: Path, stream: BinaryIO) -> dict[str, Any]:
    """Return the features that Hugging Face datasets wrote into a file; leaves the stream at its start."""
    try:
        with open_seekable(path, stream) as seekable:
            return features_of(pq.read_schema(seekable))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return {}  # `read_parquet` will say why
    finally:
        stream.seek(0)


def _list_values(column: pa.Array, where: str) -> list[Any]:
    """Return the values of a column as Python objects; bytes are text too."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:  # Arrow does not validate strings when it reads
        kind = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise UnreadableError("encoding", where, "from this row on holds strings that are not UTF-8") from None
        values = column.view(kind).to_pylist()
    return [_decode(value) for value in values] if any(isinstance(value, bytes) for value in values) else values


def _decode(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return NotText(value)


class NotText:
    """Bytes that are not UTF-8, which no text and no label may be."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"bytes that are not UTF-8, {self.data[:20]!r}"
