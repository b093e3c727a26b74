"""Convert text with character spans to words with tags."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from stages.corpus.text.diagnostics import AnnotationError
from stages.corpus.text.raw_text import word_spans
from stages.corpus.text.sentences import OUTSIDE

STARTS, ENDS, LABELS = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels", "type")


class Span(NamedTuple):
    """The characters [start, end) of a text, their label, and their text where the annotation repeats it."""

    start: int
    end: int
    label: str
    text: str | None = None


class TaggedText(NamedTuple):
    """Sentences of one text with tags; `cut_words` are words inside which a span begins or ends."""

    sentences: list[list[str]]
    tags: list[list[str]]
    cut_words: list[str]


def parse_span(value: Any) -> Span:
    """Parse a span of doccano, Prodigy or Label Studio: `[0, 5, "PER"]`, or an object with start, end and label.

    AnnotationError if `value` is neither.
    """
    text = None
    if isinstance(value, list | tuple) and len(value) == 3:
        start, end, label = value
    elif isinstance(value, dict):
        start, end, label = (
            next((value[name] for name in names if name in value), None) for names in (STARTS, ENDS, LABELS)
        )
        label = label[0] if isinstance(label, list) and len(label) == 1 else label
        text = value.get("text")
    else:
        raise AnnotationError(
            f"{_shown(value)} is not a span; write [start, end, label], or an object with these fields"
        )
    if not (_is_int(start) and _is_int(end) and isinstance(label, str) and label.strip()):
        raise AnnotationError(f"{_shown(value)} is not a span: it needs start and end as numbers, and one label")
    return Span(start, end, label.strip(), text if isinstance(text, str) else None)


def tag_words(text: str, spans: Sequence[Span], *, words: Sequence[tuple[int, int]] | None = None) -> TaggedText:
    """Split a text into words and give each its IOB2 tag.

    `words` are their starts and ends; without them the text is split as at prediction. A line is a sentence, unless a
    span crosses its end. A word that a span cuts becomes two. AnnotationError if a span leaves the text, overlaps
    another or contains no word.
    """
    ordered = sorted(spans, key=lambda span: span[:2])
    end_before = 0
    for span in ordered:
        if span.start >= span.end:
            raise AnnotationError(f"the span {span.start}-{span.end} {span.label} does not end after its start")
        if span.start < 0 or span.end > len(text):
            raise AnnotationError(
                f"the span {span.start}-{span.end} {span.label} leaves the text of {len(text)} characters"
            )
        if span.start < end_before:
            raise AnnotationError(
                f"the span {span.start}-{span.end} {span.label} overlaps the one before it; keep one of them"
            )
        if span.text is not None and span.text.split() != text[span.start : span.end].split():
            raise AnnotationError(
                f"the span {span.start}-{span.end} {span.label} should be {span.text[:80]!r}, but the text there is "
                f"{text[span.start : span.end][:80]!r}; are its offsets counted in bytes or UTF-16?"
            )
        end_before = span.end

    edges = sorted({edge for span in ordered for edge in span[:2]})
    places, cuts = _cut_words(word_spans(text) if words is None else list(words), edges)
    tags = [OUTSIDE] * len(places)
    word = 0
    for span in ordered:
        while word < len(places) and places[word][0] < span.start:
            word += 1
        first = word
        while word < len(places) and places[word][1] <= span.end:
            tags[word] = f"{'I' if word > first else 'B'}-{span.label}"
            word += 1
        if word == first:
            raise AnnotationError(
                f"the span {span.start}-{span.end} {span.label} holds no word: {text[span.start : span.end]!r}"
            )

    sentences: list[list[str]] = []
    sentence_tags: list[list[str]] = []
    for number, ((start, end), tag) in enumerate(zip(places, tags, strict=True)):
        if number == 0 or ("\n" in text[places[number - 1][1] : start] and not tag.startswith("I-")):
            sentences.append([])
            sentence_tags.append([])
        sentences[-1].append(text[start:end])
        sentence_tags[-1].append(tag)
    return TaggedText(sentences, sentence_tags, [text[start:end] for start, end in cuts])


def _cut_words(words: list[tuple[int, int]], edges: list[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Cut words at edges that lie inside them; return all words, and those that were cut."""
    places: list[tuple[int, int]] = []
    cut: list[tuple[int, int]] = []
    at = 0
    for start, end in words:
        while at < len(edges) and edges[at] <= start:
            at += 1
        bounds = [start]
        while at < len(edges) and edges[at] < end:
            bounds.append(edges[at])
            at += 1
        if len(bounds) > 1:
            cut.append((start, end))
        places += pairwise([*bounds, end])
    return places, cut


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return repr(value)[:80]
