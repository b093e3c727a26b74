"""CoNLL columns: a word a line, its tag in another column, a blank line between sentences."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.readers.columns import Columns, numbered, refuse_one_for_both
from stages.corpus.readers.text_files import MAX_LINE, opened, texts
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.documents import DOCUMENT_START
from stages.corpus.text.schemes import is_tag
from stages.corpus.text.sentences import NO_DOCUMENT, OUTSIDE, Block

NEW_DOCUMENT = "# newdoc"  # the comment that marks one in CoNLL-U
COMMENT = r"^#(\s|begin|end)"  # the last two are of CoNLL-2012; #tag is a word
SAMPLE = 2000  # lines from which the layout is told
SAMPLE_CHARACTERS = 1 << 18  # enough for as many lines, and for blank ones before them
COUNTER = re.compile(r"\d+([-.]\d+)?")  # CoNLL-U: 1, 1-2 for a contraction, 1.1 for an empty word
SHOWN_CHARACTERS = 80

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are cut; `word` and `tag` count columns from 0."""

    separator: str
    width: int
    word: int
    tag: int
    counted: bool  # whether the first column numbers the words


class Sample(NamedTuple):
    """What the first lines of a file are like; of those that are cut as most are, how many have what in a column."""

    separator: str
    width: int
    lines: int
    tags: list[int]  # by column: tags
    entities: list[int]  # by column: tags other than O
    counted: bool  # whether the first column numbers the words of each sentence, as in CoNLL-U


def read_conll(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Blocks of whole sentences. A line with another number of columns than the rest is a finding of grade error.

    Tabs part columns if most lines have any, else blanks. The tag is the last column in which most values are one. A
    line of white space alone ends a sentence, as in WNUT-17. A line at the start of one that begins with # and a space,
    with #begin or with #end, and has no tag, is a comment.
    """
    layout: Layout | None = None
    documents, has_marks, skipped = NO_DOCUMENT, _has_marks(path, stream), Counter[str]()
    for number, text in _whole_sentences(path, texts(path, stream)):
        layout = layout or _layout(path, text, columns, diagnostics)
        if layout is None:  # no word so far
            documents += sum(line.startswith((DOCUMENT_START, NEW_DOCUMENT)) for line in text.split("\n"))
            continue
        # Not splitlines(): U+2028 and its like are characters of a word, not ends of a line.
        lines = pc.split_pattern(pa.array([text]), "\n").flatten()
        cells = _cells(lines, layout.separator)
        widths = pc.list_value_length(cells).to_numpy()
        breaks = _numpy(pc.or_(pc.equal(pc.utf8_trim_whitespace(lines), ""), pc.starts_with(lines, DOCUMENT_START)))
        comments = _comments(_numpy(pc.match_substring_regex(lines, COMMENT)) & _tagless(lines, widths, layout), breaks)
        content = ~breaks & ~comments
        bad = np.flatnonzero(content & (widths != layout.width))
        diagnostics.add_all(
            "error",
            "columns",
            len(bad),
            (
                (f"{path}:{number + line}", f"needs {layout.width} columns, has {widths[line]}: {_shown(lines[line])}")
                for line in map(int, bad)
            ),
        )
        marks = _numpy(pc.or_(pc.starts_with(lines, DOCUMENT_START), pc.starts_with(lines, NEW_DOCUMENT)))
        if documents == NO_DOCUMENT and has_marks and content[: marks.argmax() if marks.any() else None].any():
            documents = 0  # the one before the first mark
        begun = documents + np.cumsum(marks)
        documents = int(begun[-1])
        good = content & (widths == layout.width)
        if layout.counted:
            # 1-2 repeats the words 1 and 2 as one, and 1.1 is in no text.
            good[good] = ~_numpy(pc.match_substring_regex(pc.list_element(cells.filter(pa.array(good)), 0), "[-.]"))
        skipped += {
            "comment lines skipped": int(comments.sum()),
            "lines of contracted or empty words skipped": int((content & (widths == layout.width) & ~good).sum()),
        }
        if good.any():
            yield _block(str(path), cells, layout, good=good, breaks=breaks, begun=begun, number=number)
    for what, count in skipped.items():
        if count:
            diagnostics.add("note", "skipped", path, f"{count:,} {what}")


def _has_marks(path: Path, stream: BinaryIO) -> bool:
    """Whether documents are marked anywhere: the first has no mark where they stand behind each, as in Wikigold."""
    marks = tuple(f"\n{mark}" for mark in (DOCUMENT_START, NEW_DOCUMENT))
    found = any(mark in f"\n{text}" for _, text in texts(path, stream) for mark in marks)
    stream.seek(0)
    return found


def _whole_sentences(path: Path, pieces: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The same text in pieces that end after a blank line."""
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


def shared_columns(paths: Iterable[Path], columns: Columns, diagnostics: Diagnostics) -> dict[Path, Columns]:
    """The columns of each file, chosen over all files alike: nested tags may be missing from the start of one.

    Files without a word, or that cannot be read so, are left out; whoever reads them will say why.
    """
    samples: dict[Path, Sample] = {}
    for path in paths:
        with suppress(UnreadableError), opened(path) as stream:
            sample = _sample(_beginning(path, stream))
            if sample:
                samples[path] = sample
    chosen: dict[Path, Columns] = {}
    for width in sorted({sample.width for sample in samples.values()}):
        alike = [path for path, sample in samples.items() if sample.width == width]
        with suppress(UnreadableError):
            word, tag = _columns(alike[0], [samples[path] for path in alike], columns, diagnostics)
            chosen |= dict.fromkeys(alike, replace(columns, words=word + 1, tags=tag + 1))
    return chosen


def _beginning(path: Path, stream: BinaryIO) -> str:
    beginning = ""
    for _, text in texts(path, stream):
        beginning += text
        if len(beginning) >= SAMPLE_CHARACTERS:
            break
    return beginning


def _sample(text: str) -> Sample | None:
    """The first lines that have what most of them have in common; None if there are none."""
    lines = (line for line in text.split("\n") if line.strip() and not line.startswith(DOCUMENT_START))
    content = list(islice((line for line in lines if not line.startswith("#") or is_tag(line.split()[-1])), SAMPLE))
    if not content:
        return None
    separator = "\t" if sum("\t" in line for line in content) * 2 > len(content) else " "
    rows = [[cell.strip(" ") for cell in row] for row in _cells(pa.array(content), separator).to_pylist()]
    usual = Counter(len(row) for row in rows if len(row) > 1)
    width = usual.most_common(1)[0][0] if usual else 2
    rows = [row for row in rows if len(row) == width]
    tags = [[is_tag(row[n]) for row in rows] for n in range(width)]
    return Sample(
        separator,
        width,
        len(rows),
        tags=[sum(column) for column in tags],
        entities=[sum(row[n] != OUTSIDE and tag for row, tag in zip(rows, tags[n], strict=True)) for n in range(width)],
        counted=bool(rows) and all(COUNTER.fullmatch(row[0]) for row in rows) and any(row[0] == "1" for row in rows),
    )


def _layout(path: Path, text: str, columns: Columns, diagnostics: Diagnostics) -> Layout | None:
    sample = _sample(text)
    if sample is None:
        return None
    word, tag = _columns(path, [sample], columns, diagnostics)
    return Layout(sample.separator, sample.width, word, tag, counted=word > 0 and sample.counted)


def _columns(path: Path, samples: list[Sample], columns: Columns, diagnostics: Diagnostics) -> tuple[int, int]:
    """Numbers, from 0, of the columns of words and tags in files that are all as wide as each other."""
    width, lines = samples[0].width, sum(sample.lines for sample in samples)
    word = numbered("words", columns.words, width, path)
    if word is None:
        word = 1 if width > 2 and all(sample.counted for sample in samples) else 0
    tag = numbered("tags", columns.tags, width, path)
    if tag is None:
        of_tags = [n for n in range(width) if n != word and sum(sample.tags[n] for sample in samples) * 2 > lines]
        telling = [n for n in of_tags if any(sample.entities[n] for sample in samples)]
        tag = (telling or of_tags or [width - 1])[-1]  # CoNLL-2003's chunks stand before its entities
        if len(telling) > 1:
            others = " and ".join(str(n + 1) for n in telling[:-1])
            message = f"took the tags of column {tag + 1}; column {others} holds tags too. Choose with data.tags."
            diagnostics.add("warning", "ambiguous-tags", path, message)
    refuse_one_for_both(word + 1, tag + 1, path)
    return word, tag


def _cells(lines: pa.StringArray, separator: str) -> pa.ListArray:
    # Blanks alone, not all white space: a no-break space is a character of a word.
    if separator == "\t":
        return pc.split_pattern(lines, "\t")
    lines = pc.utf8_trim(lines, " ")
    if pc.any(pc.match_substring(lines, "  ")).as_py():
        return pc.split_pattern_regex(lines, " +")
    return pc.split_pattern(lines, " ")  # five times as fast


def _tagless(lines: pa.StringArray, widths: npt.NDArray[np.int32], layout: Layout) -> Bools:
    """Lines of another width, and those that start with # and a blank whose words by chance are as many as columns."""
    tagless: Bools = widths != layout.width
    for n in np.flatnonzero(~tagless & _numpy(pc.starts_with(lines, "# "))):
        tagless[n] = not is_tag(_cells(lines[n : n + 1], layout.separator)[0].as_py()[layout.tag])
    return tagless


def _comments(candidates: Bools, breaks: Bools) -> Bools:
    """Candidates that follow a break, the start of the text, or another comment; elsewhere `#` begins a word."""
    before = np.maximum.accumulate(np.where(candidates, -1, np.arange(len(candidates))))
    comments: Bools = candidates & ((before < 0) | breaks[before])
    return comments


def _block(
    source: str,
    cells: pa.ListArray,
    layout: Layout,
    *,
    good: Bools,
    breaks: Bools,
    begun: npt.NDArray[np.int64],
    number: int,
) -> Block:
    """The block of the `good` lines; `begun` counts documents, `number` is that of the first line."""
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
        documents=begun[at[starts]].astype(np.int32),
    )


def _numpy(mask: pa.BooleanArray) -> Bools:
    found: Bools = mask.to_numpy(zero_copy_only=False)
    return found


def _shown(line: pa.StringScalar) -> str:
    return repr(line.as_py().strip()[:SHOWN_CHARACTERS])
