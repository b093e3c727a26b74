"""Opens files of any size: gzip or not, UTF-8 or refused, read by the chunk."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from stages.corpus.text.diagnostics import UnreadableError

CHUNK = 1 << 20  # bytes; some 100,000 lines of CoNLL, and what a reader holds at a time
GZIP = b"\x1f\x8b"
MAX_EXPANSION = 200  # times; annotated text compresses by 3 to 20, a decompression bomb by up to 1,032
MAX_LINE = 1 << 24  # bytes
ALWAYS_ALLOWED = 1 << 22  # bytes, before the expansion is looked at
FOREIGN = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\x03\x04": "a zip archive", GZIP: "a gzip within a gzip"}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if they are a gzip. Not to be had, or damaged: UnreadableError."""
    if path.exists() and not path.is_file():
        raise UnreadableError("unreadable", path, "is no file that could be read twice; a pipe, for one, is not")
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
        raise UnreadableError("damaged", path, f"the gzip is damaged or cut off ({error}). Fetch it anew.") from None
    except OSError as error:
        hint = "; it is a link to nowhere" if path.is_symlink() and not path.exists() else ""
        raise UnreadableError("unreadable", path, f"cannot be read: {error.strerror or error}{hint}") from None


def guarded(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of an opened file by the chunk. UnreadableError if a gzip expands without measure."""
    seen = 0
    while data := stream.read(CHUNK):
        seen += len(data)
        # Against what was read so far, not the file's size: a larger bomb would be let run for longer.
        if seen > max(ALWAYS_ALLOWED, MAX_EXPANSION * os.lseek(stream.fileno(), 0, os.SEEK_CUR)):
            raise UnreadableError(
                "bomb",
                path,
                f"unpacks to over {MAX_EXPANSION} times its size, as no corpus does. Unpack it first if it is one.",
            )
        yield data


def _whole_lines(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    for data in guarded(path, stream):
        rest += data
        complete = rest.rfind(b"\n") + 1
        if complete:
            yield rest[:complete]
            rest = rest[complete:]
        elif len(rest) > MAX_LINE:
            raise UnreadableError("no-line-ends", path, f"a line of over {MAX_LINE >> 20} MB: are its line ends lost?")
    if rest:
        yield rest


def texts(path: Path, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Whole lines of UTF-8 in pieces, each with the number of its first line; a BOM and CRLF are taken off."""
    number = 1
    for data in _whole_lines(path, stream):
        if number == 1:
            _refuse_foreign(path, data)
        if b"\0" in data:
            line = number + data.count(b"\n", 0, data.index(b"\0"))
            message = "holds a NUL byte, so it is no UTF-8 text but UTF-16 or no text. Convert it, or set data.format."
            raise UnreadableError("encoding", f"{path}:{line}", message)
        try:
            text = data.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            line = number + error.object.count(b"\n", 0, error.start)  # its object is the data without a BOM
            bad = error.object[error.start : error.start + 4].hex(" ")
            raise UnreadableError(
                "encoding", f"{path}:{line}", f"not UTF-8 ({error.reason}: {bad}). Convert it: iconv -t UTF-8 ..."
            ) from None
        yield number, text.replace("\r\n", "\n")
        number += data.count(b"\n")


def _refuse_foreign(path: Path, data: bytes) -> None:
    for mark, name in FOREIGN.items():
        if data.startswith(mark):
            raise UnreadableError("encoding", path, f"is {name}, not UTF-8 text. Convert or unpack it first.")
