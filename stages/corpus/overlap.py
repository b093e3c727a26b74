"""Find sentences and entities that splits share, and sentences that contradict each other; kept as digests."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.corpus.reading import Corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import Entities
from stages.corpus.text.sentences import Block, UInt64s
from stages.errors import SHOWN

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]


class Match(NamedTuple):
    """A sentence whose words occur in another split too, and whether they have the same entities there."""

    where: str
    sentence: int  # its number among those that were asked for
    is_same: bool


class DigestSet:
    """A set of 64-bit digests, eight bytes each."""

    def __init__(self) -> None:
        self._sorted: UInt64s = np.empty(0, np.uint64)
        self._pending: list[UInt64s] = []
        self._pending_count = 0

    def add(self, digests: UInt64s) -> None:
        """Add digests."""
        self._pending.append(digests)
        self._pending_count += len(digests)
        if self._pending_count > len(self._sorted) + 1_000_000:
            self._merge()

    def contains(self, digests: UInt64s) -> Bools:
        """Whether each of these digests is in the set."""
        self._merge()
        if not len(self._sorted):
            return np.zeros(len(digests), bool)
        places = np.minimum(np.searchsorted(self._sorted, digests), len(self._sorted) - 1)
        found: Bools = self._sorted[places] == digests
        return found

    def count_common(self, other: "DigestSet") -> int:
        """Count the digests that the two sets share."""
        self._merge()
        return int(other.contains(self._sorted).sum())

    def __len__(self) -> int:
        self._merge()
        return len(self._sorted)

    def _merge(self) -> None:
        if self._pending:
            self._sorted = np.unique(np.concatenate([self._sorted, *self._pending]))
            self._pending, self._pending_count = [], 0


class SentenceIndex:
    """The sentences of a split by digest, with their places and entities, 20 bytes a sentence.

    Add all sentences before the first query.
    """

    def __init__(self) -> None:
        self._sources: list[str] = []
        self._parts: list[tuple[UInt64s, UInt32s, Int64s]] = []
        self._digests: UInt64s = np.empty(0, np.uint64)
        self._entities: UInt32s = np.empty(0, np.uint32)
        self._places: Int64s = np.empty(0, np.int64)  # upper half: number of the source; lower half: line
        self._matched: dict[str, Bools] = {}  # by other split: which sentences were yielded

    def add(self, block: Block, chosen_S: Bools, entities_S: UInt32s) -> None:
        """Add the chosen sentences of a block; `entities_S` are the digests of the entities of all."""
        if self._sources[-1:] != [block.source]:
            self._sources.append(block.source)
        lines = block.lines[block.offsets[:-1][chosen_S]].astype(np.int64)
        places = (len(self._sources) - 1 << 32) + lines
        self._parts.append((block.digests[chosen_S], entities_S[chosen_S], places))

    def __len__(self) -> int:
        self._build()
        return len(self._digests)

    @property
    def repeated(self) -> int:
        """Number of sentences that repeat an earlier one."""
        self._build()
        return int((self._digests[1:] == self._digests[:-1]).sum())

    def match(self, other: str, digests: UInt64s, entities_S: UInt32s) -> Iterator[Match]:
        """Yield each sentence that occurs among those of a block of the split `other`.

        A sentence is yielded once for each `other`, over all calls.
        """
        self._build()
        matched = self._matched.setdefault(other, np.zeros(len(self._digests), bool))
        firsts = np.searchsorted(self._digests, digests, side="left")
        ends = np.searchsorted(self._digests, digests, side="right")
        for number in np.flatnonzero(ends > firsts):
            first, end = int(firsts[number]), int(ends[number])
            if not matched[first]:
                matched[first:end] = True
                for place in range(first, end):
                    is_same = bool(self._entities[place] == entities_S[number])
                    yield Match(self._format_place(place), int(number), is_same)

    def find_shared(self, other: "SentenceIndex") -> list[str]:
        """The place of each sentence whose words occur in the other index too."""
        self._build()
        other._build()
        shared = np.flatnonzero(np.isin(self._digests, other._digests))
        return [self._format_place(int(number)) for number in shared[np.argsort(self._places[shared], kind="stable")]]

    def find_contradictions(self) -> tuple[int, list[tuple[str, str]]]:
        """Count the sentences that occur again with other entities; return two places of each, of the first SHOWN."""
        self._build()
        differs = self._digests[1:] == self._digests[:-1]
        differs &= self._entities[1:] != self._entities[:-1]
        seconds = np.flatnonzero(differs) + 1
        seconds = seconds[np.unique(self._digests[seconds], return_index=True)[1]]
        shown = seconds[np.argsort(self._places[seconds], kind="stable")[:SHOWN]].tolist()
        return len(seconds), [(self._format_place(second - 1), self._format_place(second)) for second in shown]

    def _format_place(self, number: int) -> str:
        place = int(self._places[number])
        return f"{self._sources[place >> 32]}:{place & 0xFFFFFFFF}"

    def _build(self) -> None:
        """Sort all sentences by digest, equal ones in the order in which they were added."""
        if self._parts:
            # One column after another: of a large train, copies of all at once would double the memory.
            digests, entities, places = (list(column) for column in zip(*self._parts, strict=True))
            self._parts = []
            self._digests = np.concatenate(digests)
            digests.clear()
            order = np.argsort(self._digests, kind="stable")
            self._digests = self._digests[order]
            self._entities = np.concatenate(entities)[order]
            entities.clear()
            self._places = np.concatenate(places)[order]


class Overlap:
    """Sentences that splits share or contradict, and entities that dev and test share with train.

    An entity counts as shared if its words are the same, whatever their case and its type.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.sentences = {name: SentenceIndex() for name in corpus.splits}
        self.entities = {name: DigestSet() for name in corpus.splits}

    def add(
        self, name: str, block: Block, chosen_S: Bools, entities_S: UInt32s, texts: UInt64s, *, diagnostics: Diagnostics
    ) -> None:
        """Add the chosen sentences of a block of the split `name`.

        `entities_S` are digests of the entities of all its sentences, `texts` of the words of those of the chosen ones.
        """
        numbers, earlier = np.flatnonzero(chosen_S), self._read_before(name)
        for other in earlier:
            first, second = sorted((name, other), key=self.corpus.splits.index)
            for match in self.sentences[other].match(name, block.digests[chosen_S], entities_S[chosen_S]):
                how = "" if match.is_same else ", with other entities"
                message = f"also in {name}{how}: {block.text(numbers[match.sentence])[:80]!r}"
                diagnostics.add("warning", f"in-{first}-and-{second}", match.where, message)
        self.sentences[name].add(block, chosen_S, entities_S)
        if len(earlier) == len(self.corpus.splits) - 1:
            # The split that is read last, train: of its entities, only those that another split has are kept.
            kept = np.zeros(len(texts), bool)
            for other in earlier:
                kept |= self.entities[other].contains(texts)
            texts = texts[kept]
        self.entities[name].add(texts)

    def count_distinct(self) -> int:
        """Count the distinct sentences that the hash divided among the splits without files of their own."""
        cut = [self.sentences[name] for name in self.corpus.splits if name not in self.corpus.given]
        return sum(len(sentences) - sentences.repeated for sentences in cut)

    def report(self, diagnostics: Diagnostics) -> dict[str, float]:
        """Return by split the share of entities that the first split lacks; report repetitions and contradictions."""
        if self.corpus.splits_documents:
            self._report_cut(diagnostics)
        first, *others = self.corpus.splits
        unseen: dict[str, float] = {}
        for name in others:
            entities = self.entities[name]
            if len(entities):
                unseen[name] = 1 - entities.count_common(self.entities[first]) / len(entities)
            repeated = self.sentences[name].repeated
            if repeated:
                message = f"{repeated:,} sentences of {name} occur more than once"
                diagnostics.add("note", "repeated", self.corpus.place, message)
        for name, sentences in self.sentences.items():
            count, places = sentences.find_contradictions()
            such = f"one of {count:,} such sentences of {name}"
            shown = (
                (second, f"other entities than the same words have at {first}; {such}") for first, second in places
            )
            diagnostics.add_all("warning", f"contradictions-in-{name}", count, shown)
        return unseen

    def _report_cut(self, diagnostics: Diagnostics) -> None:
        """Report sentences that splits share which were cut from the same files document by document."""
        cut = [name for name in self.corpus.splits if name not in self.corpus.given]
        for first, second in combinations(cut, 2):
            places = self.sentences[second].find_shared(self.sentences[first])
            examples = ((place, f"a sentence of {second} that is also in {first}") for place in places)
            diagnostics.add_all("warning", f"in-{first}-and-{second}", len(places), examples)

    def _read_before(self, name: str) -> list[str]:
        """List the splits whose files have all been read before those of `name`, and are not cut from the same files.

        Files are read backwards. Equal sentences of one file are never in two splits if the hash of each assigns them.
        """
        splits, given = self.corpus.splits, self.corpus.given
        return [
            other
            for other in given
            if other != name and (name not in given or splits.index(other) > splits.index(name))
        ]


def digest_entities(block: Block, entities: Entities) -> UInt32s:
    """[S] a 32-bit hash of the bounds and types of each sentence's entities.

    Types count by their numbers, so digests compare only within one pass over a corpus.
    """
    starts, _, types = entities
    inside = np.flatnonzero(types >= 0)
    lengths = np.diff(block.offsets)
    place_W = np.arange(block.offsets[-1]) - np.repeat(block.offsets[:-1], lengths)
    mixed = (place_W[inside].astype(np.uint64) << 32) + (types[inside].astype(np.uint64) << 1) + starts[inside]
    # The finaliser of SplitMix64: sums of its values over different entities hardly ever agree.
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    hashes_W = np.zeros(block.offsets[-1], np.uint64)
    hashes_W[inside] = mixed ^ (mixed >> np.uint64(31))
    digests: UInt32s = (np.add.reduceat(hashes_W, block.offsets[:-1]) >> np.uint64(32)).astype(np.uint32)
    return digests
