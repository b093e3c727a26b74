"""Read text files of any size chunk by chunk: plain or gzip, UTF-8 only."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from stages.corpus.text.diagnostics import UnreadableError

CHUNK = 1 << 20  # bytes; some 100,000 lines of CoNLL, and all that a reader keeps in memory
GZIP = b"\x1f\x8b"
MAX_EXPANSION = 200  # times; annotated text compresses 3 to 20 times, a decompression bomb up to 1,032
MAX_LINE = 1 << 24  # bytes
ALWAYS_ALLOWED = 1 << 22  # bytes, below which the expansion is not checked
FOREIGN = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\x03\x04": "a zip archive", GZIP: "a gzip within a gzip"}


@contextmanager
def open_data(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed if it is a gzip; UnreadableError if it is missing or damaged."""
    if path.exists() and not path.is_file():
        raise UnreadableError("unreadable", path, "is not a regular file, so it cannot be read twice")
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == GZIP
            plain.seek(0)
            if not packed:
                yield plain
                return
            with gzip.GzipFile(fileobj=plain) as unpacked:
                yield cast(BinaryIO, unpacked)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableError("damaged", path, f"the gzip is damaged or cut off ({error}). Fetch it again.") from None
    except OSError as error:
        hint = "; it is a broken link" if path.is_symlink() and not path.exists() else ""
        raise UnreadableError("unreadable", path, f"cannot be read: {error.strerror or error}{hint}") from None


def read_chunks(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of an open file in chunks; UnreadableError if a gzip expands like a decompression bomb."""
    seen = 0
    while data := stream.read(CHUNK):
        seen += len(data)
        # Compare with what was read so far, not with the file's size, which would let a larger bomb run for longer.
        if seen > max(ALWAYS_ALLOWED, MAX_EXPANSION * os.lseek(stream.fileno(), 0, os.SEEK_CUR)):
            raise UnreadableError(
                "bomb",
                path,
                f"unpacks to over {MAX_EXPANSION} times its size, as no corpus does. Unpack it first if it is one.",
            )
        yield data


def _read_lines(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    for data in read_chunks(path, stream):
        rest += data
        complete = rest.rfind(b"\n") + 1
        if complete:
            yield rest[:complete]
            rest = rest[complete:]
        elif len(rest) > MAX_LINE:
            raise UnreadableError("no-line-ends", path, f"a line of over {MAX_LINE >> 20} MB: are its line ends lost?")
    if rest:
        yield rest


def read_text(path: Path, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield whole lines in pieces, each with the number of its first line; a BOM is removed, CRLF becomes LF."""
    number = 1
    for data in _read_lines(path, stream):
        if number == 1:
            _refuse_other_formats(path, data)
        if b"\0" in data:
            line = number + data.count(b"\n", 0, data.index(b"\0"))
            message = "holds a NUL byte, so it is UTF-16 or not text. Convert it, or set data.format."
            raise UnreadableError("encoding", f"{path}:{line}", message)
        try:
            text = data.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            line = number + error.object.count(b"\n", 0, error.start)  # its object is the data without a BOM
            invalid = error.object[error.start : error.start + 4].hex(" ")
            raise UnreadableError(
                "encoding", f"{path}:{line}", f"not UTF-8 ({error.reason}: {invalid}). Convert it: iconv -t UTF-8 ..."
            ) from None
        yield number, text.replace("\r\n", "\n")
        number += data.count(b"\n")


def _refuse_other_formats(path: Path, data: bytes) -> None:
    for mark, name in FOREIGN.items():
        if data.startswith(mark):
            raise UnreadableError("encoding", path, f"is {name}, not UTF-8 text. Convert or unpack it first.")
