"""Reads a corpus from end to end: what is in it, and what to know before an hour of training is spent on it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.overlap import Overlap
from stages.corpus.reading import UNSPLIT, Corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import Entities, TagReader, spans
from stages.corpus.text.sentences import NO_DOCUMENT, Block, Int32s, UInt64s, digests_of

FEW = 20  # examples of a type in train, below which a model can hardly learn it
LONG = 1000  # words, above which a sentence is rather a text whose breaks were lost
LONGEST = 1 << 16  # sub-words; longer sentences count as that long
DISTINCT_LIMIT = 100_000  # unknown words that are told apart; memory stays bounded on a corpus of rubbish

Bools = npt.NDArray[np.bool_]
Context = Literal["sentence", "document"]


class Measured(Protocol):
    """What a tokenizer makes of W words."""

    @property
    def counts(self) -> Int32s:
        """[W] how many sub-words each word has."""

    @property
    def unknown(self) -> Bools:
        """[W] whether it has no sub-word for a word, or for a part of it."""


Measure = Callable[[pa.DictionaryArray], Measured]


@dataclass
class SplitProfile:
    """What one split holds."""

    sentences: int = 0
    words: int = 0
    documents: int = 0  # that its files mark
    unknown_words: int = 0
    entities: Counter[str] = field(default_factory=Counter)  # by type
    lengths: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(LONGEST + 1, np.int64))  # sentences by it
    last_document: tuple[str, int] = ("", NO_DOCUMENT)
    unseen: float | None = None  # share of its entities' forms, whatever the case, that train has not

    def add(
        self, block: Block, chosen_S: Bools, entities: Entities, *, names: list[str], measured: Measured | None
    ) -> None:
        """Count the chosen sentences of a block; `names` are those of the entity types by number."""
        chosen_W = np.repeat(chosen_S, np.diff(block.offsets))
        self.sentences += int(chosen_S.sum())
        self.words += int(chosen_W.sum())
        documents = np.unique(block.documents[chosen_S & (block.documents != NO_DOCUMENT)])
        if len(documents):
            self.documents += len(documents) - ((block.source, documents[0]) == self.last_document)
            self.last_document = (block.source, int(documents[-1]))
        for kind, count in enumerate(np.bincount(entities.types[entities.starts & chosen_W])):
            if count:
                self.entities[names[kind]] += int(count)
        if measured is not None:
            per_sentence = np.add.reduceat(measured.counts, block.offsets[:-1])[chosen_S]
            self.lengths += np.bincount(np.minimum(per_sentence, LONGEST), minlength=LONGEST + 1)
            self.unknown_words += int((measured.unknown & chosen_W).sum())

    def length_at(self, share: float) -> int:
        """The sub-words that this share of sentences does not exceed."""
        return int(np.searchsorted(np.cumsum(self.lengths), share * self.sentences))

    def longer_than(self, subwords: int) -> int:
        """How many sentences have more sub-words."""
        return int(self.lengths[subwords + 1 :].sum())


@dataclass
class CorpusProfile:
    """What a corpus holds, by split, and the tag scheme and entity types that were found."""

    splits: dict[str, SplitProfile]
    reader: TagReader
    measured: bool

    def described(self, *, window: int) -> dict[str, Any]:
        """The figures as JSON takes them; `window` is the number of sub-words that one window holds."""
        described: dict[str, Any] = {}
        for name, split in self.splits.items():
            described[name] = {
                "sentences": split.sentences,
                "words": split.words,
                "documents": split.documents,
                "entities": dict(sorted(split.entities.items())),
            }
            if self.measured:
                described[name] |= {
                    "subwords": {
                        key: split.length_at(share)
                        for key, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
                    },
                    "longer_than_window": split.longer_than(window),
                    "unknown_words": split.unknown_words,
                }
            if split.unseen is not None:
                described[name]["unseen_entities"] = split.unseen
        is_empty = not any(split.words for split in self.splits.values())
        return {"scheme": None if is_empty else self.reader.scheme, "window": window, "splits": described}


def profile_corpus(
    corpus: Corpus,
    diagnostics: Diagnostics,
    *,
    measure: Measure | None,
    context: Context,
    on_block: Callable[[int], object],
) -> CorpusProfile:
    """Read the whole corpus; `on_block` is told the number of words after each block.

    Faults and doubts go into `findings`; the caller decides whether to go on. Without `measure`, nothing is said of
    sub-words. `context` is what sentences are going to be read in.
    """
    found = CorpusProfile({name: SplitProfile() for name in corpus.splits}, TagReader(), measure is not None)
    unknown: set[str] = set()
    overlap = Overlap(corpus)
    # The smaller splits first, so that train need not be held to be compared with them.
    for block, split_S in corpus.blocks(diagnostics, backwards=True):
        entities = found.reader.learn(block)
        measured = measure(block.distinct) if measure else None
        for number in np.unique(split_S):
            name = corpus.splits[number]
            chosen_S = split_S == number
            found.splits[name].add(block, chosen_S, entities, names=list(found.reader.types), measured=measured)
            overlap.add(name, block, chosen_S, forms=_forms(block, entities, chosen_S), diagnostics=diagnostics)
        if measured is not None:
            _report_unknown(block, measured.unknown, unknown, diagnostics)
        _report_long(block, diagnostics)
        on_block(len(block.words.values))
    if not diagnostics.of("error"):  # figures of what could be read would mislead
        found.reader.report(diagnostics)
        _report_files(found, corpus, context, diagnostics)
        _report_splits(found, corpus, diagnostics)
        for name, share in overlap.report(diagnostics).items():
            found.splits[name].unseen = share
    if not diagnostics.of("error"):
        _report_types(found, corpus, diagnostics)
    diagnostics.sort([str(path) for path, _ in corpus.files])
    return found


def _forms(block: Block, entities: Entities, chosen_S: Bools) -> UInt64s:
    """Digests of the distinct entities of a block in small letters."""
    starts, ends = spans(entities)
    mine = np.repeat(chosen_S, np.diff(block.offsets))[starts]
    starts, ends = starts[mine], ends[mine]
    lengths = ends - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    words = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    lists = pa.ListArray.from_arrays(offsets, pc.utf8_lower(block.words.values.take(pa.array(words))))
    forms = pc.unique(pc.binary_join(lists, " ")).to_pylist()
    return digests_of(forms)


def _report_unknown(block: Block, unknown_W: Bools, known_unknowns: set[str], diagnostics: Diagnostics) -> None:
    at = np.flatnonzero(unknown_W)
    for word, text in zip(at, block.words.values.take(pa.array(at)).to_pylist(), strict=True):
        if text not in known_unknowns and len(known_unknowns) < DISTINCT_LIMIT:
            known_unknowns.add(text)
            diagnostics.add(
                "warning", "unknown-word", block.where(word), f"the tokenizer has no sub-words for {_visible(text)}"
            )


def _visible(word: str) -> str:
    """A word as it is, and its code points, since what a tokenizer does not know is often not to be seen."""
    return f"{word!r} ({' '.join(f'U+{ord(character):04X}' for character in word[:8])})"


def _report_long(block: Block, diagnostics: Diagnostics) -> None:
    lengths = np.diff(block.offsets)
    long = np.flatnonzero(lengths > LONG)
    places = ((block.where(block.offsets[n]), f"a sentence of {lengths[n]:,} words: are breaks lost?") for n in long)
    diagnostics.add_all("warning", "long-sentences", len(long), places)


def _report_files(found: CorpusProfile, corpus: Corpus, context: Context, diagnostics: Diagnostics) -> None:
    for path in corpus.ignored:
        diagnostics.add("warning", "ignored-file", path, "not read: its name says neither train, dev nor test")
    if context == "document" and not any(split.documents for split in found.splits.values()):
        message = "tokenize.context is document, but nothing marks documents here, so each sentence stands alone"
        diagnostics.add("warning", "no-documents", corpus.place, message)
    elif context == "document" and corpus.params.split is not None:
        message = "data.split parts sentences of one document, so each split's windows show text of the others"
        diagnostics.add("warning", "shared-documents", corpus.place, message)
    if corpus.splits == (UNSPLIT,):
        diagnostics.add(
            "warning",
            "unsplit",
            corpus.place,
            "no train, dev and test. To train on it: "
            f"tuneline run --set data.dir={corpus.place} --set 'data.split={{dev: 0.1, test: 0.1}}'",
        )


def _report_splits(found: CorpusProfile, corpus: Corpus, diagnostics: Diagnostics) -> None:
    for name, split in found.splits.items():
        if not split.sentences:
            more = "; the shares of data.split may be too small" if corpus.params.split else ""
            diagnostics.add("error", "no-sentence", corpus.place, f"no sentence in {name}{more}; each split needs one")


def _report_types(found: CorpusProfile, corpus: Corpus, diagnostics: Diagnostics) -> None:
    total = sum((split.entities for split in found.splits.values()), Counter[str]())
    if not total:
        message = "every word is tagged O, so there is nothing to learn. Is data.tags the right column?"
        diagnostics.add("error", "no-entity", corpus.place, message)
    first = next(iter(found.splits))
    for kind in sorted(total):
        holders = [name for name, split in found.splits.items() if split.entities[kind]]
        if len(holders) == 1 < len(found.splits):
            message = f"{kind} occurs in {holders[0]} only, {total[kind]:,} times"
            diagnostics.add("warning", "one-split", corpus.place, message)
        count = found.splits[first].entities[kind]
        if count < FEW:
            message = f"{kind} has only {count} examples in {first}, too few to learn from"
            diagnostics.add("warning", "few-examples", corpus.place, message)
