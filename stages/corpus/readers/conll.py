"""CoNLL columns: a word a line, its tag in another column, a blank line between sentences."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.readers.columns import Columns
from stages.corpus.readers.layout import (
    DOCUMENT_MARKS,
    PART_END,
    PART_START,
    Layout,
    choose_layouts,
    sniff,
    split_cells,
)
from stages.corpus.readers.text_files import MAX_LINE, read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.documents import DOCUMENT_START
from stages.corpus.text.schemes import is_tag
from stages.corpus.text.sentences import NO_DOCUMENT, Block, Int32s
from stages.corpus.text.tag_cells import read_tags

SENTENCE_BREAKS = (DOCUMENT_START, PART_START, PART_END)
COMMENT = r"^#(\s|begin|end)"  # #tag is a word
SHOWN_CHARACTERS = 80

Bools = npt.NDArray[np.bool_]


def read_conll(
    path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics, *, layout: Layout | None = None
) -> Iterator[Block]:
    """Yield blocks of whole sentences; a line with another number of columns than most is an error.

    Tabs separate columns if most lines have any, else blanks or commas; empty ones at the end of a line do not count.
    A line of white space alone ends a sentence, as in WNUT-17. A line at the start of a sentence that begins with # and
    white space, with #begin or with #end, and has no tag, is a comment.

    `layout` is what `sniff_layouts` found; without it the file is read twice.
    """
    sample = sniff(path, stream) if layout is None else None
    documents, skipped = NO_DOCUMENT, Counter[str]()
    for number, text in _whole_sentences(path, read_text(path, stream, diagnostics)):
        if layout is None:
            if sample is None:
                continue  # the file has no word; read on to report other faults
            (layout,) = choose_layouts(path, [sample], columns, diagnostics)
        # Not splitlines(): U+2028 and its like are characters of a word, not ends of a line.
        lines = pc.split_pattern(pa.array([text]), "\n").flatten()
        cells = split_cells(lines, layout.separator)
        widths = _count_columns(lines, cells, layout)
        breaks = _numpy(pc.equal(pc.utf8_trim_whitespace(lines), "")) | _starts_with_any(lines, SENTENCE_BREAKS)
        candidates = _numpy(pc.match_substring_regex(lines, COMMENT)) & _has_no_tag(lines, cells, widths, layout)
        comments = _find_comments(candidates & ~breaks, breaks)
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
            faulty=0,  # a sentence may have several such lines: sentences are counted below
        )
        marks = _starts_with_any(lines, DOCUMENT_MARKS)
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
        sentence_of_line = np.cumsum(breaks)
        incomplete = np.unique(sentence_of_line[misfits])
        diagnostics.faulty += len(np.setdiff1d(incomplete, sentence_of_line[good]))  # of which nothing is left
        if good.any():
            block = _build_block(
                str(path), cells, layout, good=good, breaks=breaks, documents=document_of_line, number=number
            )
            if len(incomplete):
                first_lines = block.lines[block.offsets[:-1]] - number
                block = replace(block, incomplete=np.isin(sentence_of_line[first_lines], incomplete))
            yield block
    for what, count in skipped.items():
        if count:
            diagnostics.add("note", "skipped", path, f"{count:,} {what}")


def _whole_sentences(path: Path, pieces: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Regroup text into pieces that end after a blank line."""
    number, rest = 1, ""
    for first, piece in pieces:
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


def _count_columns(lines: pa.StringArray, cells: pa.ListArray, layout: Layout) -> Int32s:
    """[L] the number of columns of each line, without those that may be more than the layout has."""
    widths: Int32s = pc.list_value_length(cells).to_numpy()
    wide = widths > layout.width
    if layout.is_ragged:
        return np.minimum(widths, layout.width)
    if layout.separator == "\t" and wide.any():
        filled = pc.list_value_length(split_cells(pc.utf8_rtrim(lines.filter(pa.array(wide)), "\t "), "\t"))
        widths = widths.copy()
        widths[wide] = np.maximum(filled, layout.width)
    return widths


def _starts_with_any(lines: pa.StringArray, beginnings: Sequence[str]) -> Bools:
    found: Bools = np.logical_or.reduce([_numpy(pc.starts_with(lines, beginning)) for beginning in beginnings])
    return found


def _has_no_tag(lines: pa.StringArray, cells: pa.ListArray, widths: Int32s, layout: Layout) -> Bools:
    """Lines of another width, and those that start with # and a blank and by chance have as many words as columns."""
    tagless: Bools = widths != layout.width
    for n in np.flatnonzero(~tagless & _numpy(pc.match_substring_regex(lines, "^#[ \\t]"))):
        tag = cells[int(n)].as_py()[layout.tag].strip(" ")
        tagless[n] = not is_tag(tag) and tag not in layout.bare_types
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
    chosen = cells.filter(pa.array(good))
    starts = np.flatnonzero(np.diff(np.cumsum(breaks)[at], prepend=-1))
    return Block(
        source=source,
        words=pa.ListArray.from_arrays(
            pa.array(np.append(starts, len(at)), pa.int32()), pc.list_element(chosen, layout.word)
        ),
        tags=read_tags(pc.list_element(chosen, layout.tag), starts, layout.notation),
        lines=(at + number).astype(np.int32),
        documents=documents[at[starts]].astype(np.int32),
    )


def _numpy(mask: pa.BooleanArray) -> Bools:
    found: Bools = mask.to_numpy(zero_copy_only=False)
    return found


def _shown(line: pa.StringScalar) -> str:
    return repr(line.as_py().strip()[:SHOWN_CHARACTERS])
