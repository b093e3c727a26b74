"""Entities of tag sequences in IOB2, extracted with array operations, and the agreement of two taggings.

There are two readings of the same tags, since published figures mix them:

    strict      an entity opens with B-; an I- that continues none is ignored (seqeval, strict, IOB2)
    conlleval   the same, but an I- that continues none opens an entity too, as in the CoNLL script conlleval

Shape legend: W words of a split, S sentences, E entities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

OUTSIDE = "O"

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tagging:
    """The tags of a split, sentence after sentence: for each word the index of its tag in `tags`.

    `bounds` are S + 1 word numbers: sentence i has the words from `bounds[i]` up to, not including, `bounds[i + 1]`.
    """

    ids_W: Numbers
    bounds: Numbers
    tags: tuple[str, ...]

    @property
    def sentences(self) -> int:
        """The number of sentences."""
        return len(self.bounds) - 1

    @property
    def tags_W(self) -> npt.NDArray[np.str_]:
        """The tag of each word as a string: two taggings may number theirs differently."""
        return np.array(self.tags)[self.ids_W]

    @cached_property
    def types(self) -> tuple[str, ...]:
        """All types in `tags`, in alphabetical order."""
        return tuple(sorted({tag[2:] for tag in self.tags if tag != OUTSIDE}))

    @cached_property
    def type_W(self) -> Numbers:
        """The index of each word's type; -1 for O."""
        return np.array([self.types.index(t[2:]) if t != OUTSIDE else -1 for t in self.tags], dtype=np.int64)[
            self.ids_W
        ]

    @cached_property
    def continues_W(self) -> Truths:
        """Whether each word continues the entity of the word before it: an I- after a B- or I- of the same type."""
        inside_W = np.array([tag.startswith("I-") for tag in self.tags], dtype=bool)[self.ids_W]
        continues_W = np.zeros(len(self.ids_W), dtype=bool)
        continues_W[1:] = inside_W[1:] & (self.type_W[1:] == self.type_W[:-1])
        continues_W[self._first_words] = False
        return continues_W

    def entities(self, *, strict: bool) -> "Entities":
        """All entities, in order."""
        begins = np.array([tag.startswith("B-") for tag in self.tags], dtype=bool)
        inside_W = self.type_W >= 0
        followed_W = np.append(self.continues_W[1:], False)
        first_E = np.flatnonzero(inside_W & ~self.continues_W)
        after_E = np.flatnonzero(inside_W & ~followed_W) + 1
        if strict:
            opened = begins[self.ids_W[first_E]]
            first_E, after_E = first_E[opened], after_E[opened]
        sentence_E = np.searchsorted(self.bounds, first_E, side="right") - 1
        return Entities(first_E, after_E, self.type_W[first_E], sentence_E)

    @property
    def _first_words(self) -> Numbers:
        """The first word of each sentence that is not empty."""
        return self.bounds[:-1][np.diff(self.bounds) > 0]


@dataclass(frozen=True)
class Entities:
    """The entities of one tagging, in order: first word, word after the last, index of the type, sentence."""

    first_E: Numbers
    after_E: Numbers
    type_E: Numbers
    sentence_E: Numbers

    def __len__(self) -> int:
        return len(self.first_E)

    @property
    def length_E(self) -> Numbers:
        """The number of words of each entity."""
        return self.after_E - self.first_E

    @cached_property
    def words(self) -> tuple[Numbers, Numbers]:
        """For each word of all entities: the number of its entity, and the number of the word."""
        entity = np.repeat(np.arange(len(self)), self.length_E)
        position = np.arange(len(entity)) - np.repeat(np.cumsum(self.length_E) - self.length_E, self.length_E)
        return entity, self.first_E[entity] + position

    def is_in(self, other: "Entities") -> Truths:
        """Whether `other` has each entity too, with both ends and the type equal."""
        index_E = np.searchsorted(other.first_E, self.first_E)
        index_E[index_E == len(other)] = 0
        if not len(other):
            return np.zeros(len(self), dtype=bool)
        same_E: Truths = (
            (other.first_E[index_E] == self.first_E)
            & (other.after_E[index_E] == self.after_E)
            & (other.type_E[index_E] == self.type_E)
        )
        return same_E


def taggings(*sides: Sequence[Sequence[str]]) -> tuple[Tagging, ...]:
    """Build taggings of the same words from lists of tags; `tags` of each are all that occur in any."""
    tags = tuple(sorted({tag for side in sides for sentence in side for tag in sentence}))
    number = {tag: index for index, tag in enumerate(tags)}
    return tuple(
        Tagging(
            np.array([number[tag] for sentence in side for tag in sentence], dtype=np.int64),
            np.cumsum([0, *map(len, side)]),
            tags,
        )
        for side in sides
    )


def strict_f1(gold: Tagging, predicted: Tagging) -> float:
    """Micro-averaged F1 over entities, strict: the score that selects the best epoch."""
    of_predicted, of_gold = predicted.entities(strict=True), gold.entities(strict=True)
    counts = (np.array([count]) for count in (of_predicted.is_in(of_gold).sum(), len(of_predicted), len(of_gold)))
    return float(ratios(*counts)[2][0])


def ratios(correct: Numbers, predicted: Numbers, gold: Numbers) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 from counts, in seqeval's order of operations."""
    precision, recall = divide(correct, predicted), divide(correct, gold)
    denominator = precision + recall
    denominator[denominator == 0] = 1
    return precision, recall, 2 * precision * recall / denominator


def divide(numerator: Numbers, denominator: Numbers) -> Floats:
    """The quotients; 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator != 0)
