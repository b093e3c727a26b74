"""Spans whose offsets count UTF-16 code units, as JavaScript does, or bytes of UTF-8."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from stages.corpus.annotations.spans import Span, SpanError, TaggedText, tag_words
from stages.corpus.text.diagnostics import UnreadableError

Unit = Literal["characters", "utf16", "bytes"]
NAMES: dict[Unit, str] = {"characters": "characters", "utf16": "UTF-16 code units", "bytes": "bytes of UTF-8"}
WIDTHS: dict[Unit, Callable[[str], int]] = {
    "characters": lambda _: 1,
    "utf16": lambda character: 1 + (character > "\uffff"),
    "bytes": lambda character: len(character.encode(errors="surrogatepass")),
}
WIDE = {True: re.compile(r"[^\0-\x7f]"), False: re.compile(r"[\U00010000-\U0010ffff]")}  # for bytes; for the others


def to_characters(text: str, spans: Sequence[Span], unit: Unit) -> Sequence[Span]:
    """Return the spans with offsets in characters; SpanError if one leaves the text or divides a character."""
    if unit == "characters" or text.isascii():
        return spans
    edges = [0, *accumulate(map(WIDTHS[unit], text))]
    places = {edge: place for place, edge in enumerate(edges)}
    for span in spans:
        if span.start < 0 or span.end > edges[-1]:
            raise SpanError(span, f"leaves the text of {edges[-1]} {NAMES[unit]}")
        if span.start not in places or span.end not in places:
            raise SpanError(span, f"begins or ends inside a character; are its offsets {NAMES[unit]}?")
    return [span._replace(start=places[span.start], end=places[span.end]) for span in spans]


@dataclass
class OffsetReader:
    """Tags the texts of a file whose offsets are in `unit`, and counts those that only fit in another unit.

    A text fits if each span lies in it, is what the annotation says, and cuts no word.
    """

    unit: Unit
    fitting: Counter[Unit] = field(default_factory=Counter)  # texts that fit in this other unit alone
    differing: Counter[Unit] = field(default_factory=Counter)  # texts in which it makes a difference
    first: dict[Unit, str] = field(default_factory=dict)  # where the first text stands that fits in it

    def tag(
        self, text: str, spans: Sequence[Span], words: Sequence[tuple[int, int]] | None, *, where: str
    ) -> TaggedText:
        """Tag a text as `tag_words` does; SpanError as there."""
        try:
            tagged = tag_words(text, to_characters(text, spans, self.unit), words=words)
        except SpanError:
            self._try_other_units(text, spans, words, fits=False, where=where)
            raise
        self._try_other_units(text, spans, words, fits=_is_plain(tagged), where=where)
        return tagged

    def _try_other_units(
        self, text: str, spans: Sequence[Span], words: Sequence[tuple[int, int]] | None, *, fits: bool, where: str
    ) -> None:
        if text.isascii():
            return
        end = max((span.end for span in spans), default=0)
        for unit in NAMES:
            if unit == self.unit or not WIDE["bytes" in (unit, self.unit)].search(text, 0, end):
                continue
            self.differing[unit] += 1
            if not fits and _fits(text, spans, unit, words):
                self.fitting[unit] += 1
                self.first.setdefault(unit, where)

    def require_unit(self) -> None:
        """Raise UnreadableError if most texts, of those in which it makes a difference, fit in another unit."""
        for unit, count in self.fitting.most_common():
            if count * 2 > self.differing[unit]:
                message = (
                    f"in {count:,} texts, of which this is the first, spans miss the words if their offsets count "
                    f"{NAMES[self.unit]}, and meet them if they count {NAMES[unit]}: --set data.offsets={unit}"
                )
                raise UnreadableError("offsets", self.first[unit], message)


def _fits(text: str, spans: Sequence[Span], unit: Unit, words: Sequence[tuple[int, int]] | None) -> bool:
    try:
        return _is_plain(tag_words(text, to_characters(text, spans, unit), words=words))
    except SpanError:
        return False


def _is_plain(text: TaggedText) -> bool:
    return not (text.cut_words or text.widened)
