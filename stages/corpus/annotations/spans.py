"""Convert text with character spans, or words with spans of words, to words with tags."""

from collections.abc import Iterable, Sequence
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

    def __str__(self) -> str:
        return f"the span {self.start}-{self.end} {self.label}"


class SpanError(AnnotationError):
    """A span cannot become tags."""

    def __init__(self, span: Span, fault: str) -> None:
        super().__init__(f"{span} {fault}")
        self.span, self.fault = span, fault


class TaggedText(NamedTuple):
    """Sentences of one text with tags, and what is odd about them."""

    sentences: list[list[str]]
    tags: list[list[str]]
    starts: list[int]  # [sentence] its first character
    cut_words: Sequence[str] = ()  # words inside which a span begins or ends
    widened: Sequence[str] = ()  # texts of spans that hold more than the annotation says


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
    span crosses its end. A word that a span cuts becomes two. SpanError if a span leaves the text, overlaps
    another, contains no word, or is said to be another text.
    """
    words = word_spans(text) if words is None else words
    ordered = sorted(spans, key=lambda span: span[:2])
    _check_places(ordered, len(text), "characters")
    widened = [text[span.start : span.end] for span in ordered if _is_widened(span, text, words)]
    edges = sorted({edge for span in ordered for edge in span[:2]})
    places, cuts = _cut_words(words, edges)
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
            raise SpanError(span, f"holds no word: {text[span.start : span.end]!r}")
    return TaggedText(*_split_lines(text, places, tags), [text[start:end] for start, end in cuts], widened)


def tag_word_spans(words: list[str], spans: Sequence[Span]) -> TaggedText:
    """Give each word its IOB2 tag; the spans count words, and include their last one.

    SpanError if one leaves the words or overlaps another.
    """
    ordered = sorted((span._replace(end=span.end + 1) for span in spans), key=lambda span: span[:2])
    try:
        _check_places(ordered, len(words), "words")
    except SpanError as error:
        raise SpanError(error.span._replace(end=error.span.end - 1), error.fault) from None
    tags = [OUTSIDE] * len(words)
    for span in ordered:
        tags[span.start : span.end] = [f"B-{span.label}", *[f"I-{span.label}"] * (span.end - span.start - 1)]
    return TaggedText([words], [tags], [0])


def _check_places(ordered: Iterable[Span], length: int, unit: str) -> None:
    end_before = 0
    for span in ordered:
        if span.start >= span.end:
            raise SpanError(span, "does not end after its start")
        if span.start < 0 or span.end > length:
            raise SpanError(span, f"leaves the text of {length} {unit}")
        if span.start < end_before:
            raise SpanError(span, "overlaps the one before it; keep one of them")
        end_before = span.end


def is_said(span: Span, text: str) -> bool:
    """Whether the text there is the text that the annotation repeats, or contains it."""
    return span.text is None or " ".join(span.text.split()) in " ".join(text[span.start : span.end].split())


def _is_widened(span: Span, text: str, words: Sequence[tuple[int, int]]) -> bool:
    """Whether a span was extended to whole words, as Label Studio does and leaves its text as it was selected.

    SpanError if the text there is another one.
    """
    there = text[span.start : span.end]
    if span.text is None or span.text.split() == there.split():
        return False
    if span.text.strip() and is_said(span, text):
        is_start, is_end = (any(edge == word[side] for word in words) for side, edge in enumerate(span[:2]))
        if is_start and is_end:
            return True
    raise SpanError(span, f"should be {span.text[:80]!r}, but the text there is {there[:80]!r}")


def _split_lines(
    text: str, places: list[tuple[int, int]], tags: list[str]
) -> tuple[list[list[str]], list[list[str]], list[int]]:
    """Return the words, the tags and the first character of each sentence."""
    sentences: list[list[str]] = []
    sentence_tags: list[list[str]] = []
    starts: list[int] = []
    for number, ((start, end), tag) in enumerate(zip(places, tags, strict=True)):
        if number == 0 or ("\n" in text[places[number - 1][1] : start] and not tag.startswith("I-")):
            sentences.append([])
            sentence_tags.append([])
            starts.append(start)
        sentences[-1].append(text[start:end])
        sentence_tags[-1].append(tag)
    return sentences, sentence_tags, starts


def _cut_words(
    words: Iterable[tuple[int, int]], edges: list[int]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
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
