"""The layout of CoNLL columns: what separates them, which hold words and tags, and how a tag is written."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.readers.columns import Columns, column_index, require_two_columns
from stages.corpus.readers.text_files import open_data, read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.documents import DOCUMENT_START
from stages.corpus.text.schemes import has_bare_types, is_tag
from stages.corpus.text.tag_cells import Notation, choose_tag_column, find_notation

PART_START, PART_END = "#begin document", "#end document"  # of CoNLL-2012
DOCUMENT_MARKS = (DOCUMENT_START, "# newdoc", PART_START)  # the second is a comment of CoNLL-U
CONLL_2012 = (3, 10, 11)  # its columns of words and of entities, and how many are read; more of them vary in number
SEPARATORS = ("\t", " ", ",", ";")
SAMPLE = 2000  # lines that decide the layout of a file
SAMPLE_CHARACTERS = 1 << 18  # enough for as many lines, and for blank ones before them
COUNTER = re.compile(r"\d+([-.]\d+)?")  # CoNLL-U: 1, 1-2 for a contraction, 1.1 for an empty word


@dataclass(frozen=True)
class Layout:
    """How a file is written; `word` and `tag` are column numbers from 0."""

    separator: str
    width: int
    word: int
    tag: int
    is_counted: bool  # whether the first column numbers the words
    is_ragged: bool  # whether lines have more columns, as many as they like, as in CoNLL-2012
    has_marks: bool  # whether documents are marked anywhere in the file
    notation: Notation  # how a cell of the tag column writes its tag
    bare_types: frozenset[str]  # what the sample has for tags if they are those of IO


class Sample(NamedTuple):
    """Statistics of the first lines of a file that have the most frequent number of columns."""

    separator: str
    width: int
    values: list[Counter[str]]  # by column: how often each occurs
    is_counted: bool  # whether the first column numbers the words of each sentence, as in CoNLL-U
    is_ragged: bool  # whether it is CoNLL-2012
    has_marks: bool  # whether documents are marked anywhere in the file


def sniff_layouts(paths: Iterable[Path], columns: Columns, diagnostics: Diagnostics) -> dict[Path, Layout]:
    """Find the layout of each file. Columns are chosen over all files: nested tags may be absent at the start of one.

    Omits files without a word, and those that cannot be read; `read_conll` will report why.
    """
    samples: dict[Path, Sample] = {}
    for path in paths:
        with suppress(UnreadableError), open_data(path) as stream:
            sample = sniff(path, stream)
            if sample is not None:
                samples[path] = sample
    layouts: dict[Path, Layout] = {}
    for width in sorted({sample.width for sample in samples.values()}):
        alike = {path: sample for path, sample in samples.items() if sample.width == width}
        with suppress(UnreadableError):
            chosen = choose_layouts(next(iter(alike)), list(alike.values()), columns, diagnostics)
            layouts |= dict(zip(alike, chosen, strict=True))
    return layouts


def has_columns(start: bytes) -> bool:
    """Whether the first bytes of a file, whole lines, are CoNLL columns with a tag in the first and most of the lines.

    A table has a line of names first, and no tags outside of lists.
    """
    lines = _content_lines(start.decode("utf-8-sig", "ignore").replace("\r", "\n"))
    return any(_is_tagged(lines[:1], separator) and _is_tagged(lines, separator) for separator in SEPARATORS)


def sniff(path: Path, stream: BinaryIO) -> Sample | None:
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


def _sample(text: str) -> Sample | None:
    """Return statistics of the first SAMPLE lines with words; None if there are none."""
    content = _content_lines(text)
    if not content:
        return None
    separator = next((mark for mark in SEPARATORS if _is_tagged(content, mark)), " ")
    if sum("\t" in line for line in content) * 2 > len(content):
        separator = "\t"
    rows = [[cell.strip(" ") for cell in row] for row in split_cells(pa.array(content), separator).to_pylist()]
    is_long = sum(len(row) >= CONLL_2012[-1] for row in rows) * 2 > len(rows)
    is_ragged = is_long and f"\n{PART_START}" in f"\n{text}"
    if is_ragged:
        rows = [row[: CONLL_2012[-1]] for row in rows]
    widths = Counter(len(row) for row in rows if len(row) > 1)
    width = widths.most_common(1)[0][0] if widths else 2
    rows = [row for row in rows if len(row) == width]
    while width > 2 and not any(row[width - 1] for row in rows):
        width -= 1
    return Sample(
        separator,
        width,
        values=[Counter(row[n] for row in rows) for n in range(width)],
        is_counted=bool(rows) and all(COUNTER.fullmatch(row[0]) for row in rows) and any(row[0] == "1" for row in rows),
        is_ragged=is_ragged,
        has_marks=False,
    )


def _content_lines(text: str) -> list[str]:
    """Return the first SAMPLE lines with words."""
    lines = (line for line in text.split("\n") if line.strip() and not line.startswith(DOCUMENT_START))
    return list(islice((line for line in lines if not line.startswith("#") or is_tag(line.split()[-1])), SAMPLE))


def _is_tagged(lines: Sequence[str], separator: str) -> bool:
    """Whether most lines have a tag behind the first column."""
    tagged = [line for line in lines if any(is_tag(cell.strip('"')) for cell in line.split(separator)[1:])]
    return len(tagged) * 2 > len(lines)


def choose_layouts(path: Path, samples: list[Sample], columns: Columns, diagnostics: Diagnostics) -> list[Layout]:
    """Return the layouts of files that all have as many columns; `path` is the first of them, for messages."""
    width, is_ragged = samples[0].width, all(sample.is_ragged for sample in samples)
    values = [sum((sample.values[n] for sample in samples), Counter[str]()) for n in range(width)]
    word = column_index("words", columns.words, width, path)
    if word is None and is_ragged:
        word = CONLL_2012[0]
    elif word is None:
        word = 1 if width > 2 and all(sample.is_counted for sample in samples) else 0
    tag = column_index("tags", columns.tags, width, path)
    if tag is None and is_ragged:
        tag = CONLL_2012[1]
    elif tag is None:
        tag, others = choose_tag_column(values, word)
        if others:
            message = (
                f"took the tags of column {tag + 1}; column {' and '.join(str(n + 1) for n in others)} holds tags too."
                " Choose with data.tags."
            )
            diagnostics.add("warning", "ambiguous-tags", path, message)
    require_two_columns(word + 1, tag + 1, path)
    return [
        Layout(
            sample.separator,
            width,
            word,
            tag,
            is_counted=word > 0 and sample.is_counted,
            is_ragged=sample.is_ragged,
            has_marks=sample.has_marks,
            notation=find_notation(values[tag]),
            bare_types=frozenset(values[tag]) if has_bare_types(values[tag]) else frozenset(),
        )
        for sample in samples
    ]


def split_cells(lines: pa.StringArray, separator: str) -> pa.ListArray:
    """Split each line at tabs, at blanks alone since a no-break space is part of a word, or as CSV at a comma."""
    if separator == "\t":
        return pc.split_pattern(lines, "\t")
    if separator != " ":
        rows = [next(csv.reader([line], delimiter=separator), []) for line in lines.to_pylist()]
        return pa.array(rows, pa.list_(pa.string()))
    lines = pc.utf8_trim(lines, " ")
    if pc.any(pc.match_substring(lines, "  ")).as_py():
        return pc.split_pattern_regex(lines, " +")
    return pc.split_pattern(lines, " ")  # five times as fast
