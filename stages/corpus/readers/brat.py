"""Standoff annotations of brat: each line T of a .ann marks characters of the text in the .txt beside it."""

import codecs
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from stages.corpus.annotations.offsets import OffsetReader, to_characters
from stages.corpus.annotations.spans import Span, SpanError, TaggedText, is_said, tag_words
from stages.corpus.readers.columns import Columns
from stages.corpus.readers.encodings import decode_text
from stages.corpus.readers.text_files import open_data, read_chunks, read_text
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.raw_text import word_spans
from stages.corpus.text.sentences import Block, BlockBuilder
from stages.errors import SHOWN

TEXT_BOUND = re.compile(r"(T\S*)\t(\S+) (\d+ \d+(?:;\d+ \d+)*)(?:\t(.*))?")
OTHERS = tuple("REAMNW#*")  # relations, events, attributes, references, notes: they mark no text of their own
TEXT_LIMIT = 1 << 26  # bytes; a text is read into memory as a whole
LINE_BREAK = 2  # characters at most; brat divides a span at each


def read_brat(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield one block, the document of an .ann; a line of its text is a sentence. Faults become errors."""
    text_path = _find_text(path)
    lines: dict[Span, int] = {}  # the spans, each with its line of the .ann
    faults = Diagnostics()
    for number, annotation in _number_lines(path, stream, diagnostics):
        try:
            span = _parse_line(annotation)
        except AnnotationError as error:
            faults.add("error", "record", f"{path}:{number}", str(error))
        else:
            lines |= {span: number} if span else {}
    variants = _read_variants(text_path)
    text = next((text for text in variants if all(is_said(span, text) for span in lines)), variants[0])
    tagged = _tag(path, text, lines, columns, faults)
    if faults.counts:
        faults.faulty = len(text.splitlines())  # the whole document is left out
    diagnostics.extend(faults)
    if tagged is None or faults.counts:
        return
    for word in tagged.cut_words:
        message = f"a span begins or ends inside {word!r}, which became two words. Are the offsets right?"
        diagnostics.add("warning", "cut-word", path, message)
    builder, line, at = BlockBuilder(), 1, 0
    for words, tags, start in zip(tagged.sentences, tagged.tags, tagged.starts, strict=True):
        line, at = line + text.count("\n", at, start), start
        builder.add(words, tags, line, 0)
    if builder.sentences:
        yield builder.build(str(text_path))


def _find_text(path: Path) -> Path:
    """Return the file with the text of an .ann, either of which may be a .gz; UnreadableError if there is none."""
    stem = path.with_suffix("") if path.suffix == ".gz" else path
    text = stem.with_suffix(".txt")
    for candidate in (text, text.with_name(f"{text.name}.gz")):
        if candidate.exists():
            return candidate
    raise UnreadableError("no-text", path, f"its text is missing: put {text.name} beside it, from the folder of brat")


def _read_variants(path: Path) -> list[str]:
    """Return the text as brat counts its characters, and as programs do that normalise line ends and drop a BOM."""
    with open_data(path) as stream:
        data = b""
        for chunk in read_chunks(path, stream):
            data += chunk
            if len(data) > TEXT_LIMIT:
                raise UnreadableError("size", path, f"a text of over {TEXT_LIMIT >> 20} MB; divide it")
    text, _ = decode_text(path, data, number=1) if data else ("", 0)
    as_written = f" {text}" if data.startswith(codecs.BOM_UTF8) else text  # a BOM counts, but is no part of a word
    return [as_written, text.replace("\r\n", "\n")]


def _number_lines(path: Path, stream: BinaryIO, diagnostics: Diagnostics) -> Iterator[tuple[int, str]]:
    for first, piece in read_text(path, stream, diagnostics):
        for number, line in enumerate(piece.split("\n"), start=first):
            if line.strip():
                yield number, line


def _parse_line(line: str) -> Span | None:
    """Return the span of a line T; None for other annotations. AnnotationError if it is neither."""
    match = TEXT_BOUND.fullmatch(line)
    if match is None:
        if line.startswith(OTHERS):
            return None
        raise AnnotationError(f"{line[:80]!r} is no annotation of brat, such as 'T1\\tPER 0 13\\tAngela Merkel'")
    name, label, places, text = match.groups()
    parts = [tuple(map(int, part.split())) for part in places.split(";")]
    for before, after in pairwise(parts):
        if not 0 <= after[0] - before[1] <= LINE_BREAK:
            raise AnnotationError(
                f"{name} {label} has parts with other words between them, which tags cannot say: keep one part, or "
                "mark it as a whole"
            )
    return Span(parts[0][0], parts[-1][1], label, text)


def _tag(path: Path, text: str, lines: dict[Span, int], columns: Columns, faults: Diagnostics) -> TaggedText | None:
    """Tag a text; None if a span cannot become tags, and each such span is added to `faults`."""
    words, spans, offsets = word_spans(text), list(lines), OffsetReader(columns.offsets)
    try:
        tagged = offsets.tag(text, spans, words, where=str(path))
    except SpanError as error:
        offsets.require_unit()
        _list_faults(path, text, lines, columns, error, faults)
        return None
    offsets.require_unit()
    return tagged


def _list_faults(
    path: Path, text: str, lines: dict[Span, int], columns: Columns, fault: SpanError, faults: Diagnostics
) -> None:
    """Add the first fault of a text, and those that appear as the spans that have one are left out."""
    words, spans = word_spans(text), list(lines)
    for _ in range(SHOWN):
        line = lines.get(fault.span)  # none if its offsets were converted
        faults.add("error", "record", f"{path}:{line}" if line else path, str(fault))
        if line is None:
            return
        spans.remove(fault.span)
        try:
            tag_words(text, to_characters(text, spans, columns.offsets), words=words)
            return
        except SpanError as error:
            fault = error
