"""Find sentences and entities that splits share. Only the smaller splits are kept in memory, as 64-bit digests."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stages.corpus.reading import Corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import Block, UInt64s

Bools = npt.NDArray[np.bool_]


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
    """The sentences of a split by digest with their places, 16 bytes a sentence.

    Add all sentences before the first query.
    """

    def __init__(self) -> None:
        self._sources: list[str] = []
        self._parts: list[tuple[UInt64s, npt.NDArray[np.int64]]] = []
        self._digests: UInt64s = np.empty(0, np.uint64)
        self._places = np.empty(0, np.int64)  # upper half: number of the source; lower half: line
        self._matched: dict[str, Bools] = {}  # by other split: which sentences were yielded

    def add(self, block: Block, chosen_S: Bools) -> None:
        """Add the chosen sentences of a block."""
        if self._sources[-1:] != [block.source]:
            self._sources.append(block.source)
        lines = block.lines[block.offsets[:-1][chosen_S]].astype(np.int64)
        self._parts.append((block.digests[chosen_S], (len(self._sources) - 1 << 32) + lines))

    @property
    def repeated(self) -> int:
        """Number of sentences that repeat an earlier one."""
        self._build()
        return len(self._digests) - len(np.unique(self._digests))

    def match(self, other: str, digests: UInt64s) -> Iterator[tuple[str, int]]:
        """Yield the place of each sentence that occurs in `digests`, of the split `other`, and its index there.

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
                for place in self._places[first:end]:
                    yield f"{self._sources[place >> 32]}:{place & 0xFFFFFFFF}", int(number)

    def _build(self) -> None:
        if self._parts:
            digests, places = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
            order = np.argsort(digests, kind="stable")
            self._digests, self._places, self._parts = digests[order], places[order], []


class Overlap:
    """Sentences and entities that dev and test share with train, and test with dev.

    An entity counts as shared if its words are the same, whatever their case and its type.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.sentences = {name: SentenceIndex() for name in corpus.splits[1:]}
        self.entities = {name: DigestSet() for name in corpus.splits}
        # Files of train come last: of its entities, only those that another split has are kept.
        self.is_split_by_files = corpus.params.split is None

    def add(self, name: str, block: Block, chosen_S: Bools, *, entities: UInt64s, diagnostics: Diagnostics) -> None:
        """Add the chosen sentences of a block of the split `name`, and the digests of their `entities`."""
        splits = self.corpus.splits
        later = splits[splits.index(name) + 1 :]
        if self.is_split_by_files:  # otherwise the hash assigns equal sentences to one split
            for other in later:
                for where, sentence in self.sentences[other].match(name, block.digests):
                    message = f"also in {name}: {block.text(sentence)[:80]!r}"
                    diagnostics.add("warning", f"in-{name}-and-{other}", where, message)
        if name in self.sentences:
            self.sentences[name].add(block, chosen_S)
        elif self.is_split_by_files:
            kept = np.zeros(len(entities), bool)
            for other in later:
                kept |= self.entities[other].contains(entities)
            entities = entities[kept]
        self.entities[name].add(entities)

    def report(self, diagnostics: Diagnostics) -> dict[str, float]:
        """Return by split the share of entities that the first split lacks; add a note on repeated sentences."""
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
        return unseen
