"""IOB1 and IOB2: which of the two a corpus uses, and the way to IOB2.

IOB1 (Ramshaw and Marcus, 1995) opens an entity with I- and keeps B- for an entity that follows another of its own
type at once. IOB2 opens every entity with B-. CoNLL-2003 as distributed is IOB1.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from stages.corpus.sentences import OUTSIDE, Sentence

Scheme = Literal["IOB1", "IOB2"]


def recognise(sentences: Iterable[Sentence]) -> Scheme:
    """IOB1 if any entity of the corpus opens with I-, else IOB2."""
    opens_with_inside = any(
        tag.startswith("I-") and starts_entity(previous, tag)
        for sentence in sentences
        for previous, tag in zip((OUTSIDE, *sentence.tags), sentence.tags, strict=False)
    )
    return "IOB1" if opens_with_inside else "IOB2"


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The same entities with B- on each first word, read as conlleval reads them (IOB2 tags stay as they are)."""
    return tuple(
        f"B-{tag[2:]}" if starts_entity(previous, tag) else tag
        for previous, tag in zip((OUTSIDE, *tags), tags, strict=False)
    )


def starts_entity(previous: str, tag: str) -> bool:
    """Whether an entity opens at `tag`: by B-, or by I- after anything but its own type."""
    return tag != OUTSIDE and (tag.startswith("B-") or previous[2:] != tag[2:])
