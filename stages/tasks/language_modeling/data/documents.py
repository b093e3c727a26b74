"""Documents of raw text files, read piece by piece: memory does not grow with a file or a document.

A piece is a part of a document, cut at white space, in which all white space between words is one blank. The pieces of
a document, joined by blanks, are the whole of it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.corpus.examples.folder import FASTTEXT_LINE, JSON_START
from stages.corpus.folder import SNIFFED
from stages.corpus.readers.layout import has_columns
from stages.corpus.readers.text_files import open_data, read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.tasks.language_modeling.data.params import Document

Int64s = npt.NDArray[np.int64]

MAX_PIECE = 1 << 16  # characters
MAX_BLOCK = 1 << 20  # characters; without blanks a tokenizer takes some 300 bytes for each
BLANK_LINE = re.compile(r"^[^\S\n]*\n", re.MULTILINE)
LABELLED: dict[str, Callable[[bytes], bool]] = {  # what a text file would not begin with
    "columns of words and tags (CoNLL)": has_columns,
    "JSON": lambda start: JSON_START.match(start.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None,
    "lines with labels (fastText)": lambda start: FASTTEXT_LINE.search(start) is not None,
    "a Parquet table": lambda start: start.startswith(b"PAR1"),
}
ADVICE = (
    "Pre-training reads raw text, a .txt without labels. To learn the labels, take another task: "
    "`tuneline new FOLDER` lists them"
)


@dataclass(frozen=True)
class TextBlock:
    """Consecutive pieces of documents of one file, P of them."""

    source: str  # the file, as the user named it
    pieces: pa.StringArray  # [P] none of them empty
    document_P: Int64s  # the number of each one's document within the file, from 0
    line_P: Int64s  # the line where it begins, from 1

    def where(self, piece: int) -> str:
        """Format the place of a piece as `file:line`."""
        return f"{self.source}:{self.line_P[piece]}"

    def __len__(self) -> int:
        return len(self.pieces)


def read_documents(path: Path, by: Document, diagnostics: Diagnostics) -> Iterator[TextBlock]:
    """Yield the documents of a file, none if it is empty; UnreadableError if it cannot be read, or holds labels."""
    with open_data(path) as stream:
        refuse_labels(path, stream)
        pieces: list[tuple[str, int, int]] = []
        document, is_open, characters = -1, False, 0
        for number, lines in read_text(path, stream, diagnostics):
            for line, text, ends in _divide(lines, number, by):
                for piece in _cut(text):
                    document, is_open = document + (not is_open), True
                    pieces.append((piece, document, line))
                    characters += len(piece)
                    if characters >= MAX_BLOCK:
                        yield _make_block(path, pieces)
                        pieces, characters = [], 0
                is_open = is_open and not ends
        if pieces:
            yield _make_block(path, pieces)


def _make_block(path: Path, pieces: list[tuple[str, int, int]]) -> TextBlock:
    texts, documents, lines = zip(*pieces, strict=True)
    return TextBlock(str(path), pa.array(texts, pa.string()), np.array(documents), np.array(lines))


def refuse_labels(path: Path, stream: BinaryIO) -> None:
    """Leave the stream at its start; UnreadableError if the file begins as one of labelled text."""
    start = stream.read(SNIFFED)
    stream.seek(0)
    whole = start[: start.rfind(b"\n") + 1] or start
    held = next((name for name, is_such in LABELLED.items() if is_such(whole)), None)
    if held:
        raise UnreadableError("labels", path, f"holds {held}. {ADVICE}")


def _divide(lines: str, number: int, by: Document) -> Iterator[tuple[int, str, bool]]:
    """Yield the parts of whole lines, each with its first line and whether its document ends with it."""
    start, line = 0, number
    for blank in BLANK_LINE.finditer(lines) if by == "blank_line" else ():
        yield line, lines[start : blank.start()], True
        line += lines.count("\n", start, blank.end())
        start = blank.end()
    yield line, lines[start:], False


def _cut(text: str) -> Iterator[str]:
    """Yield the pieces of a text, at most MAX_PIECE characters each; without white space in one, it is cut there."""
    start = 0
    while start < len(text):
        end = start + MAX_PIECE
        if end < len(text):
            blank = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = blank + 1 if blank >= 0 else end
        if piece := " ".join(text[start:end].split()):
            yield piece
        start = end
