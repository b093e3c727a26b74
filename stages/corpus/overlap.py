"""What splits have in common: the smaller ones are held in memory, whatever is compared with them is not."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stages.corpus.reading import Corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import Block, UInt64s

Bools = npt.NDArray[np.bool_]


class DigestSet:
    """A set of 64-bit digests in eight bytes each."""

    def __init__(self) -> None:
        self._sorted: UInt64s = np.empty(0, np.uint64)
        self._pending: list[UInt64s] = []
        self._waiting = 0

    def add(self, digests: UInt64s) -> None:
        """Put some in."""
        self._pending.append(digests)
        self._waiting += len(digests)
        if self._waiting > len(self._sorted) + 1_000_000:
            self._merge()

    def contains(self, digests: UInt64s) -> Bools:
        """Which of these are in it."""
        self._merge()
        if not len(self._sorted):
            return np.zeros(len(digests), bool)
        places = np.minimum(np.searchsorted(self._sorted, digests), len(self._sorted) - 1)
        found: Bools = self._sorted[places] == digests
        return found

    def common(self, other: "DigestSet") -> int:
        """How many the two sets have in common."""
        self._merge()
        return int(other.contains(self._sorted).sum())

    def __len__(self) -> int:
        self._merge()
        return len(self._sorted)

    def _merge(self) -> None:
        if self._pending:
            self._sorted = np.unique(np.concatenate([self._sorted, *self._pending]))
            self._pending, self._waiting = [], 0


class SentenceIndex:
    """The sentences of a split by digest, with the place of each, in 16 bytes a sentence.

    All are put in before any are looked for.
    """

    def __init__(self) -> None:
        self._sources: list[str] = []
        self._parts: list[tuple[UInt64s, npt.NDArray[np.int64]]] = []
        self._digests: UInt64s = np.empty(0, np.uint64)
        self._places = np.empty(0, np.int64)  # number of the source, and in the lower half the line
        self._met: dict[str, Bools] = {}

    def add(self, block: Block, chosen_S: Bools) -> None:
        """Put in the chosen sentences of a block."""
        if self._sources[-1:] != [block.source]:
            self._sources.append(block.source)
        lines = block.lines[block.offsets[:-1][chosen_S]].astype(np.int64)
        self._parts.append((block.digests[chosen_S], (len(self._sources) - 1 << 32) + lines))

    @property
    def repeated(self) -> int:
        """How many sentences are the same as another one."""
        self._build()
        return len(self._digests) - len(np.unique(self._digests))

    def met(self, other: str, digests: UInt64s) -> Iterator[tuple[str, int]]:
        """Each sentence whose digest is among those of the split `other`: its place, and the number of that digest.

        A sentence is told once for each `other`, however often it is asked for.
        """
        self._build()
        met = self._met.setdefault(other, np.zeros(len(self._digests), bool))
        firsts = np.searchsorted(self._digests, digests, side="left")
        ends = np.searchsorted(self._digests, digests, side="right")
        for number in np.flatnonzero(ends > firsts):
            first, end = int(firsts[number]), int(ends[number])
            if not met[first]:
                met[first:end] = True
                for place in self._places[first:end]:
                    yield f"{self._sources[place >> 32]}:{place & 0xFFFFFFFF}", int(number)

    def _build(self) -> None:
        if self._parts:
            digests, places = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
            order = np.argsort(digests, kind="stable")
            self._digests, self._places, self._parts = digests[order], places[order], []


class Overlap:
    """What dev and test have in common with train, and test with dev: sentences, and the forms of entities."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.sentences = {name: SentenceIndex() for name in corpus.splits[1:]}
        self.forms = {name: DigestSet() for name in corpus.splits}
        # Files of train come last: of its forms, only those that another split has are kept.
        self.is_split_by_files = corpus.params.split is None

    def add(self, name: str, block: Block, chosen_S: Bools, *, forms: UInt64s, diagnostics: Diagnostics) -> None:
        """Take note of the chosen sentences of a block, which are of the split `name`."""
        splits = self.corpus.splits
        later = splits[splits.index(name) + 1 :]
        if self.is_split_by_files:  # else the hash has put equal sentences into one split
            for other in later:
                for where, sentence in self.sentences[other].met(name, block.digests):
                    message = f"also in {name}: {block.text(sentence)[:80]!r}"
                    diagnostics.add("warning", f"in-{name}-and-{other}", where, message)
        if name in self.sentences:
            self.sentences[name].add(block, chosen_S)
        elif self.is_split_by_files:
            kept = np.zeros(len(forms), bool)
            for other in later:
                kept |= self.forms[other].contains(forms)
            forms = forms[kept]
        self.forms[name].add(forms)

    def report(self, diagnostics: Diagnostics) -> dict[str, float]:
        """The share of forms that the first split has not, by split; a note where a split repeats sentences."""
        first, *others = self.corpus.splits
        unseen: dict[str, float] = {}
        for name in others:
            forms = self.forms[name]
            if len(forms):
                unseen[name] = 1 - forms.common(self.forms[first]) / len(forms)
            repeated = self.sentences[name].repeated
            if repeated:
                message = f"{repeated:,} sentences of {name} are there more than once"
                diagnostics.add("note", "repeated", self.corpus.place, message)
        return unseen
