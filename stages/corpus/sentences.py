"""The one internal form of annotated text."""

from collections.abc import Iterable
from dataclasses import dataclass

SPLITS = ("train", "dev", "test")
OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words with one IOB tag each; `line` is the 1-based line of its first word in its file."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int


def label_set(sentences: Iterable[Sentence]) -> list[str]:
    """`O`, then B- and I- of every entity type in alphabetical order; both, though only one may occur."""
    types = sorted({tag[2:] for sentence in sentences for tag in sentence.tags if tag != OUTSIDE})
    return [OUTSIDE, *(f"{prefix}-{name}" for name in types for prefix in "BI")]
