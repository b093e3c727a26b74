"""CoNLL columns: a word a line, its tag in another column, a blank line between sentences."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.readers.columns import Columns, column_index, require_two_columns
from stages.corpus.readers.text_files import MAX_LINE, open_data, read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.documents import DOCUMENT_START
from stages.corpus.text.schemes import is_tag
from stages.corpus.text.sentences import NO_DOCUMENT, OUTSIDE, Block

DOCUMENT_MARKS = (DOCUMENT_START, "# newdoc")  # the second is a comment of CoNLL-U
COMMENT = r"^#(\s|begin|end)"  # the last two are of CoNLL-2012; #tag is a word
SAMPLE = 2000  # lines that decide the layout of a file
SAMPLE_CHARACTERS = 1 << 18  # enough for as many lines, and for blank ones before them
COUNTER = re.compile(r"\d+([-.]\d+)?")  # CoNLL-U: 1, 1-2 for a contraction, 1.1 for an empty word
SHOWN_CHARACTERS = 80

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """How a file is written; `word` and `tag` are column numbers from 0."""

    separator: str
    width: int
    word: int
    tag: int
    is_counted: bool  # whether the first column numbers the words
    has_marks: bool  # whether documents are marked anywhere in the file


class Sample(NamedTuple):
    """Statistics of the first lines of a file that have the most frequent number of columns."""

    separator: str
    width: int
    lines: int
    tags: list[int]  # by column: how many values are tags
    entities: list[int]  # by column: how many are tags other than O
    is_counted: bool  # whether the first column numbers the words of each sentence, as in CoNLL-U
    has_marks: bool  # whether documents are marked anywhere in the file


def read_conll(
    path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics, *, layout: Layout | None = None
) -> Iterator[Block]:
    """Yield blocks of whole sentences; a line with another number of columns than most is an error.

    Columns are separated by tabs if most lines have any, else by blanks. The tag is the last column in which most
    values are tags. A line of white space alone ends a sentence, as in WNUT-17. A line at the start of a sentence that
    begins with # and a space, with #begin or with #end, and has no tag, is a comment.

    `layout` is what `sniff_layouts` found; without it the file is read twice.
    """
    sample = _sniff(path, stream) if layout is None else None
    documents, skipped = NO_DOCUMENT, Counter[str]()
    for number, text in _whole_sentences(path, read_text(path, stream)):
        if layout is None:
            if sample is None:
                continue  # the file has no word; read on to report other faults
            (layout,) = _choose_layouts(path, [sample], columns, diagnostics)
        # Not splitlines(): U+2028 and its like are characters of a word, not ends of a line.
        lines = pc.split_pattern(pa.array([text]), "\n").flatten()
        cells = _split_cells(lines, layout.separator)
        widths = pc.list_value_length(cells).to_numpy()
        breaks = _numpy(pc.or_(pc.equal(pc.utf8_trim_whitespace(lines), ""), pc.starts_with(lines, DOCUMENT_START)))
        candidates = _numpy(pc.match_substring_regex(lines, COMMENT)) & _has_no_tag(lines, widths, layout)
        comments = _find_comments(candidates, breaks)
        content = ~breaks & ~comments
        misfits = np.flatnonzero(content & (widths != layout.width))
        diagnostics.add_all(
            "error",
            "columns",
            len(misfits),
            (
                (f"{path}:{number + line}", f"needs {layout.width} columns, has {widths[line]}: {_shown(lines[line])}")
                for line in map(int, misfits)
            ),
        )
        marks = _numpy(pc.or_(*(pc.starts_with(lines, mark) for mark in DOCUMENT_MARKS)))
        before_marks = content[: marks.argmax() if marks.any() else None]
        if documents == NO_DOCUMENT and layout.has_marks and before_marks.any():
            documents = 0  # the document before the first mark
        document_of_line = documents + np.cumsum(marks)
        documents = int(document_of_line[-1])
        good = content & (widths == layout.width)
        if layout.is_counted:
            # 1-2 repeats the words 1 and 2 as one, and 1.1 does not occur in the text.
            good[good] = ~_numpy(pc.match_substring_regex(pc.list_element(cells.filter(pa.array(good)), 0), "[-.]"))
        skipped += {
            "comment lines skipped": int(comments.sum()),
            "lines of contracted or empty words skipped": int((content & (widths == layout.width) & ~good).sum()),
        }
        if good.any():
            yield _build_block(
                str(path), cells, layout, good=good, breaks=breaks, documents=document_of_line, number=number
            )
    for what, count in skipped.items():
        if count:
            diagnostics.add("note", "skipped", path, f"{count:,} {what}")


def sniff_layouts(paths: Iterable[Path], columns: Columns, diagnostics: Diagnostics) -> dict[Path, Layout]:
    """Find the layout of each file. Columns are chosen over all files: nested tags may be absent at the start of one.

    Omits files without a word, and those that cannot be read; `read_conll` will report why.
    """
    samples: dict[Path, Sample] = {}
    for path in paths:
        with suppress(UnreadableError), open_data(path) as stream:
            sample = _sniff(path, stream)
            if sample is not None:
                samples[path] = sample
    layouts: dict[Path, Layout] = {}
    for width in sorted({sample.width for sample in samples.values()}):
        alike = {path: sample for path, sample in samples.items() if sample.width == width}
        with suppress(UnreadableError):
            chosen = _choose_layouts(next(iter(alike)), list(alike.values()), columns, diagnostics)
            layouts |= dict(zip(alike, chosen, strict=True))
    return layouts


def _sniff(path: Path, stream: BinaryIO) -> Sample | None:
    """Sample the first lines and search the whole file for document marks; None if it has no word.

    Leaves the stream at its start. Whether there are marks at all decides if the text before the first one is a
    document, as it is in Wikigold, where a mark follows each document.
    """
    beginning, sample, has_marks = "", None, False
    for _, text in read_text(path, stream):
        if sample is None:
            beginning += text
            if len(beginning) >= SAMPLE_CHARACTERS:
                sample, beginning = _sample(beginning), ""
        has_marks = has_marks or any(text.startswith(mark) or f"\n{mark}" in text for mark in DOCUMENT_MARKS)
        if sample and has_marks:
            break
    stream.seek(0)
    sample = sample or _sample(beginning)
    return sample and sample._replace(has_marks=has_marks)


def _whole_sentences(path: Path, pieces: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Regroup text into pieces that end after a blank line."""
    number, rest = 1, ""
    for first, piece in pieces:
        if "\r" in piece:
            line = first + piece.count("\n", 0, piece.index("\r"))
            message = "holds a carriage return that ends no line. Convert its line ends: tr '\\r' '\\n' ..."
            raise UnreadableError("line-ends", f"{path}:{line}", message)
        end = _after_last_blank_line(piece)  # a piece starts with a line
        if end:
            yield number, rest + piece[:end]
            number, rest = first + piece.count("\n", 0, end), piece[end:]
        else:
            rest += piece
        if len(rest) > MAX_LINE:
            raise UnreadableError("no-breaks", f"{path}:{number}", "no blank line for 16 MB: where do sentences end?")
    if rest:
        yield number, rest


def _after_last_blank_line(text: str) -> int:
    end = text.rfind("\n") + 1
    while end:
        start = text.rfind("\n", 0, end - 1) + 1
        if not text[start:end].strip():
            return end
        end = start
    return 0


def _sample(text: str) -> Sample | None:
    """Return statistics of the first SAMPLE lines with words; None if there are none."""
    lines = (line for line in text.split("\n") if line.strip() and not line.startswith(DOCUMENT_START))
    content = list(islice((line for line in lines if not line.startswith("#") or is_tag(line.split()[-1])), SAMPLE))
    if not content:
        return None
    separator = "\t" if sum("\t" in line for line in content) * 2 > len(content) else " "
    rows = [[cell.strip(" ") for cell in row] for row in _split_cells(pa.array(content), separator).to_pylist()]
    widths = Counter(len(row) for row in rows if len(row) > 1)
    width = widths.most_common(1)[0][0] if widths else 2
    rows = [row for row in rows if len(row) == width]
    tags = [[is_tag(row[n]) for row in rows] for n in range(width)]
    return Sample(
        separator,
        width,
        len(rows),
        tags=[sum(column) for column in tags],
        entities=[sum(row[n] != OUTSIDE and tag for row, tag in zip(rows, tags[n], strict=True)) for n in range(width)],
        is_counted=bool(rows) and all(COUNTER.fullmatch(row[0]) for row in rows) and any(row[0] == "1" for row in rows),
        has_marks=False,
    )


def _choose_layouts(path: Path, samples: list[Sample], columns: Columns, diagnostics: Diagnostics) -> list[Layout]:
    """Return the layouts of files that all have as many columns; `path` is the first of them, for messages."""
    width, lines = samples[0].width, sum(sample.lines for sample in samples)
    word = column_index("words", columns.words, width, path)
    if word is None:
        word = 1 if width > 2 and all(sample.is_counted for sample in samples) else 0
    tag = column_index("tags", columns.tags, width, path)
    if tag is None:
        of_tags = [n for n in range(width) if n != word and sum(sample.tags[n] for sample in samples) * 2 > lines]
        of_entities = [n for n in of_tags if any(sample.entities[n] for sample in samples)]
        tag = (of_entities or of_tags or [width - 1])[-1]  # CoNLL-2003's chunks stand before its entities
        if len(of_entities) > 1:
            others = " and ".join(str(n + 1) for n in of_entities[:-1])
            message = f"took the tags of column {tag + 1}; column {others} holds tags too. Choose with data.tags."
            diagnostics.add("warning", "ambiguous-tags", path, message)
    require_two_columns(word + 1, tag + 1, path)
    return [
        Layout(sample.separator, width, word, tag, word > 0 and sample.is_counted, sample.has_marks)
        for sample in samples
    ]


def _split_cells(lines: pa.StringArray, separator: str) -> pa.ListArray:
    # Split at blanks alone, not at all white space: a no-break space is a character of a word.
    if separator == "\t":
        return pc.split_pattern(lines, "\t")
    lines = pc.utf8_trim(lines, " ")
    if pc.any(pc.match_substring(lines, "  ")).as_py():
        return pc.split_pattern_regex(lines, " +")
    return pc.split_pattern(lines, " ")  # five times as fast


def _has_no_tag(lines: pa.StringArray, widths: npt.NDArray[np.int32], layout: Layout) -> Bools:
    """Lines of another width, and those that start with # and a blank and by chance have as many words as columns."""
    tagless: Bools = widths != layout.width
    for n in np.flatnonzero(~tagless & _numpy(pc.starts_with(lines, "# "))):
        tagless[n] = not is_tag(_split_cells(lines[n : n + 1], layout.separator)[0].as_py()[layout.tag])
    return tagless


def _find_comments(candidates: Bools, breaks: Bools) -> Bools:
    """Return the candidates that follow a break, the start of the text, or a comment; elsewhere `#` starts a word."""
    before = np.maximum.accumulate(np.where(candidates, -1, np.arange(len(candidates))))
    comments: Bools = candidates & ((before < 0) | breaks[before])
    return comments


def _build_block(
    source: str,
    cells: pa.ListArray,
    layout: Layout,
    *,
    good: Bools,
    breaks: Bools,
    documents: npt.NDArray[np.int64],
    number: int,
) -> Block:
    """Build the block of the `good` lines; `documents` has that of each line, `number` is that of the first line."""
    at = np.flatnonzero(good)
    flat = cells.filter(pa.array(good)).flatten()
    first_cell = np.arange(len(at)) * layout.width
    starts = np.flatnonzero(np.diff(np.cumsum(breaks)[at], prepend=-1))
    words, tags = (flat.take(pa.array(first_cell + n)) for n in (layout.word, layout.tag))
    return Block(
        source=source,
        words=pa.ListArray.from_arrays(pa.array(np.append(starts, len(at)), pa.int32()), words),
        tags=pc.utf8_trim(tags, " ").dictionary_encode(),
        lines=(at + number).astype(np.int32),
        documents=documents[at[starts]].astype(np.int32),
    )


def _numpy(mask: pa.BooleanArray) -> Bools:
    found: Bools = mask.to_numpy(zero_copy_only=False)
    return found


def _shown(line: pa.StringScalar) -> str:
    return repr(line.as_py().strip()[:SHOWN_CHARACTERS])
