"""Read text files of any size chunk by chunk: plain or gzip, UTF-8, with the line ends of any system."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from stages.corpus.readers.encodings import decode_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError

CHUNK = 1 << 20  # bytes; some 100,000 lines of CoNLL, and all that a reader keeps in memory
GZIP = b"\x1f\x8b"
MAX_EXPANSION = 200  # times; annotated text compresses 3 to 20 times, a decompression bomb up to 1,032
MAX_LINE = 1 << 24  # bytes
ALWAYS_ALLOWED = 1 << 22  # bytes, below which the expansion is not checked
ARCHIVES = {b"PK\x03\x04": "a zip archive", GZIP: "a gzip within a gzip"}
LINE_END = re.compile(rb"\r+\n|\r")


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
    """Yield whole lines in pieces; each line ends in LF."""
    rest, held = b"", b""
    for data in read_chunks(path, stream):
        joined = held + data
        known = joined.rstrip(b"\r")  # what follows a CR decides whether it is a line of its own
        held = joined[len(known) :]
        rest += _normalise_line_ends(known)
        complete = rest.rfind(b"\n") + 1
        if complete:
            yield rest[:complete]
            rest = rest[complete:]
        elif len(rest) + len(held) > MAX_LINE:
            raise UnreadableError("no-line-ends", path, f"a line of over {MAX_LINE >> 20} MB: are its line ends lost?")
    rest += held.replace(b"\r", b"\n")
    if rest:
        yield rest


def _normalise_line_ends(data: bytes) -> bytes:
    if b"\r" not in data:
        return data
    data = data.replace(b"\r\n", b"\n")
    return LINE_END.sub(b"\n", data) if b"\r" in data else data


def read_text(path: Path, stream: BinaryIO, diagnostics: Diagnostics | None = None) -> Iterator[tuple[int, str]]:
    """Yield whole lines in pieces, each with the number of its first line; a BOM is removed, and lines end in LF.

    A line ends in LF, CR LF, CR CR LF (a file written in text mode twice on Windows), or CR (old Macs). `diagnostics`
    get a note if characters are in CESU-8.
    """
    number, cesu = 1, 0
    for data in _read_lines(path, stream):
        if number == 1:
            _refuse_archives(path, data)
        text, count = decode_text(path, data, number=number)
        yield number, text
        number, cesu = number + data.count(b"\n"), cesu + count
    if cesu and diagnostics is not None:
        message = f"{cesu:,} characters written as two surrogates each (CESU-8); they were read as one each"
        diagnostics.add("note", "cesu-8", path, message)


def _refuse_archives(path: Path, data: bytes) -> None:
    for mark, name in ARCHIVES.items():
        if data.startswith(mark):
            raise UnreadableError("encoding", path, f"is {name}, not UTF-8 text. Unpack it first.")
