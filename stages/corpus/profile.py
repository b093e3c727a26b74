"""Profile a corpus: what it contains, and what may be wrong with it, before an hour of training is spent on it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.decoration import NOT_STRIPPED, Decorations
from stages.corpus.faults import DROPPED, judge_faulty
from stages.corpus.overlap import Overlap, digest_entities
from stages.corpus.reading import Corpus
from stages.corpus.splits import SUGGESTED_SHARE, TRAIN, UNSPLIT, suggest_split
from stages.corpus.text.diagnostics import Diagnostics, suggest_run
from stages.corpus.text.documents import Context
from stages.corpus.text.schemes import Entities, TagReader, spans
from stages.corpus.text.sentences import NO_DOCUMENT, SPLITS, Block, Int32s, UInt64s, digests_of
from stages.corpus.type_names import format_type, report_type_names

FEW = 20  # with fewer examples in train a model can hardly learn an entity type
LONG = 1000  # words; a longer sentence is probably a text that lost its line breaks
LONGEST = 1 << 16  # tokens; longer sentences are counted as that long
MANY_UNKNOWN = 0.2  # share of words unknown to the tokenizer; another encoder knows more
DISTINCT_LIMIT = 100_000  # unknown words that are remembered; bounds the memory

Bools = npt.NDArray[np.bool_]


class TokenCounts(Protocol):
    """How a tokenizer splits W words."""

    @property
    def counts(self) -> Int32s:
        """[W] the number of tokens of each word."""

    @property
    def unknown(self) -> Bools:
        """[W] whether a word, or a part of it, is the unknown token."""


CountTokens = Callable[[pa.DictionaryArray], TokenCounts]


@dataclass
class SplitProfile:
    """What one split contains."""

    sentences: int = 0
    words: int = 0
    documents: int = 0  # marked in its files
    unknown_words: int = 0
    entities: Counter[str] = field(default_factory=Counter)  # by type
    lengths: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(LONGEST + 1, np.int64)
    )  # by tokens: sentences
    last_document: tuple[str, int] = ("", NO_DOCUMENT)
    unseen: float | None = None  # share of its distinct entities, whatever their case, that train lacks
    dropped: int = 0  # sentences with faults that were left out; what would have been cut from train counts there

    def add(
        self, block: Block, chosen_S: Bools, entities: Entities, *, names: list[str], tokens: TokenCounts | None
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
        if tokens is not None:
            per_sentence = np.add.reduceat(tokens.counts, block.offsets[:-1])[chosen_S]
            self.lengths += np.bincount(np.minimum(per_sentence, LONGEST), minlength=LONGEST + 1)
            self.unknown_words += int((tokens.unknown & chosen_W).sum())

    def length_at(self, share: float) -> int:
        """Return the number of tokens that this share of sentences does not exceed."""
        return int(np.searchsorted(np.cumsum(self.lengths), share * self.sentences))

    def longer_than(self, tokens: int) -> int:
        """Count the sentences with more tokens."""
        return int(self.lengths[tokens + 1 :].sum())


@dataclass
class CorpusProfile:
    """What a corpus contains by split, and the reader that knows its tag scheme and entity types."""

    splits: dict[str, SplitProfile]
    reader: TagReader
    has_tokens: bool  # whether tokens were counted

    def to_json(self, *, window: int) -> dict[str, Any]:
        """Return the figures for JSON output; `window` is the number of tokens that one window holds."""
        figures: dict[str, Any] = {}
        for name, split in self.splits.items():
            figures[name] = {
                "sentences": split.sentences,
                "words": split.words,
                "documents": split.documents,
                "entities": dict(sorted(split.entities.items())),
            }
            if self.has_tokens:
                figures[name] |= {
                    "tokens": {
                        key: split.length_at(share)
                        for key, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
                    },
                    "longer_than_window": split.longer_than(window),
                    "unknown_words": split.unknown_words,
                }
            if split.unseen is not None:
                figures[name]["unseen_entities"] = split.unseen
            if split.dropped:
                figures[name]["dropped"] = split.dropped
        is_empty = not any(split.words for split in self.splits.values())
        return {"scheme": None if is_empty else self.reader.scheme, "window": window, "splits": figures}


def profile_corpus(
    corpus: Corpus,
    diagnostics: Diagnostics,
    *,
    count_tokens: CountTokens | None,
    context: Context,
    on_block: Callable[[int], object],
) -> CorpusProfile:
    """Read the whole corpus; calls `on_block` after each block with its number of words.

    Faults and doubts are added to `diagnostics`; the caller decides whether to continue. Without `count_tokens`, tokens
    are not profiled. `context` is `tokenize.context`, which decides whether documents matter.
    """
    profile = CorpusProfile({name: SplitProfile() for name in corpus.splits}, TagReader(), count_tokens is not None)
    unknown: set[str] = set()
    overlap, decorations = Overlap(corpus), Decorations()
    # The smaller splits first, so that train need not be kept in memory to be compared with them.
    for block, split_S in corpus.blocks(diagnostics, backwards=True):
        entities = profile.reader.learn(block)
        entities_S = digest_entities(block, entities)
        tokens = count_tokens(block.distinct) if count_tokens else None
        for number in np.unique(split_S):
            name = corpus.splits[number]
            chosen_S = split_S == number
            profile.splits[name].add(block, chosen_S, entities, names=list(profile.reader.types), tokens=tokens)
            digests = _entity_digests(block, entities, chosen_S)
            overlap.add(name, block, chosen_S, entities_S, digests, diagnostics=diagnostics)
        if tokens is not None:
            _report_unknown(block, tokens.unknown, unknown, diagnostics)
        _report_long(block, diagnostics)
        decorations.add(block)
        on_block(len(block.words.values))
    _report_faulty(profile, corpus, diagnostics)
    decorations.report(diagnostics, corpus.place)
    _report_stripped(profile, corpus, diagnostics)
    if not diagnostics.of("error"):  # figures of the readable part alone would mislead
        profile.reader.report(diagnostics)
        _report_files(profile, corpus, context, diagnostics)
        _report_splits(profile, corpus, overlap, diagnostics)
        for name, share in overlap.report(diagnostics).items():
            profile.splits[name].unseen = share
        _report_many_unknown(profile, corpus, diagnostics)
    if not diagnostics.of("error"):
        _report_types(profile, corpus, diagnostics)
    diagnostics.sort([str(path) for path, _ in corpus.files])
    return profile


def _entity_digests(block: Block, entities: Entities, chosen_S: Bools) -> UInt64s:
    """Return digests of the distinct entities of the chosen sentences, in lower case."""
    starts, ends = spans(entities)
    chosen = np.repeat(chosen_S, np.diff(block.offsets))[starts]
    starts, ends = starts[chosen], ends[chosen]
    lengths = ends - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    words = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    lists = pa.ListArray.from_arrays(offsets, pc.utf8_lower(block.words.values.take(pa.array(words))))
    return digests_of(pc.unique(pc.binary_join(lists, " ")).to_pylist())


def _report_unknown(block: Block, unknown_W: Bools, reported: set[str], diagnostics: Diagnostics) -> None:
    at = np.flatnonzero(unknown_W)
    for word, text in zip(at, block.words.values.take(pa.array(at)).to_pylist(), strict=True):
        if text not in reported and len(reported) < DISTINCT_LIMIT:
            reported.add(text)
            diagnostics.add(
                "warning", "unknown-word", block.where(word), f"the tokenizer does not know {_format_word(text)}"
            )


def _report_many_unknown(profile: CorpusProfile, corpus: Corpus, diagnostics: Diagnostics) -> None:
    words = sum(split.words for split in profile.splits.values())
    unknown = sum(split.unknown_words for split in profile.splits.values())
    if unknown > MANY_UNKNOWN * words:
        message = (
            f"the tokenizer does not know {unknown / words:.0%} of the words ({unknown:,} of {words:,}); a model "
            "learns little from them. Take an encoder of this language and script: set model.pretrained to its hub id "
            "or folder, model.revision to its commit, or null for a folder, and model.sha256 to what the next run names"
        )
        diagnostics.add("warning", "unknown-words", corpus.place, message)


def _report_faulty(profile: CorpusProfile, corpus: Corpus, diagnostics: Diagnostics) -> None:
    sentences = sum(split.sentences for split in profile.splits.values())
    for name, split in profile.splits.items():
        split.dropped = diagnostics.counts[f"{DROPPED}{name}"]
    judge_faulty(diagnostics, corpus.params.faulty, sentences=sentences, where=corpus.place)


def _report_stripped(profile: CorpusProfile, corpus: Corpus, diagnostics: Diagnostics) -> None:
    words = sum(split.words for split in profile.splits.values())
    for parameter in ("strip_prefix", "strip_suffix"):
        value = getattr(corpus.params, parameter)
        if value is not None and diagnostics.counts[f"{NOT_STRIPPED}{parameter}"] >= words > 0:
            message = f"data.{parameter}={value} fits no word; it must be null: --set data.{parameter}=null"
            diagnostics.add("error", "strip", corpus.place, message)


def _format_word(word: str) -> str:
    """Format a word with its code points: characters that a tokenizer does not know are often invisible."""
    return f"{word!r} ({' '.join(f'U+{ord(character):04X}' for character in word[:8])})"


def _report_long(block: Block, diagnostics: Diagnostics) -> None:
    lengths = np.diff(block.offsets)
    long = np.flatnonzero(lengths > LONG)
    places = ((block.where(block.offsets[n]), f"a sentence of {lengths[n]:,} words: are breaks lost?") for n in long)
    diagnostics.add_all("warning", "long-sentences", len(long), places)


def _report_files(profile: CorpusProfile, corpus: Corpus, context: Context, diagnostics: Diagnostics) -> None:
    for path in corpus.ignored:
        diagnostics.add("warning", "ignored-file", path, "not read: its name says neither train, dev nor test")
    if context == "document":
        _report_documents(profile, corpus, diagnostics)
    missing = [name for name in SPLITS[1:] if name not in corpus.splits]
    if missing:
        what = "train, dev and test" if corpus.splits == (UNSPLIT,) else missing[0]
        command = suggest_split(corpus.place, dict.fromkeys(missing, SUGGESTED_SHARE))
        diagnostics.add("warning", "unsplit", corpus.place, f"no {what}. To train on it: {command}")


def _report_documents(profile: CorpusProfile, corpus: Corpus, diagnostics: Diagnostics) -> None:
    if not any(split.documents for split in profile.splits.values()):
        message = (
            "tokenize.context is document, but no document is marked here. Mark them, with -DOCSTART- lines or a field "
            f"document_id, or read each sentence by itself: {suggest_run(corpus.place, 'tokenize.context=sentence')}"
        )
        diagnostics.add("error", "no-documents", corpus.place, message)
    elif corpus.params.split is not None and not corpus.splits_documents:
        message = (
            "tokenize.context is document, but data.split divides the sentences of a document between the splits. Keep "
            f"them together: {suggest_split(corpus.place, corpus.params.split.shares, by='document')}"
        )
        diagnostics.add("error", "shared-documents", corpus.place, message)


def _report_splits(profile: CorpusProfile, corpus: Corpus, overlap: Overlap, diagnostics: Diagnostics) -> None:
    for name, split in profile.splits.items():
        if not split.sentences and name in corpus.given:
            diagnostics.add("error", "no-sentence", corpus.place, f"no sentence in {name}; each split needs one")
        elif not split.sentences:
            count = overlap.count_distinct()
            there = f"there are {count:,} distinct ones" if count != 1 else "there is 1 distinct one"
            message = f"no sentence in {name}. Equal sentences stay in one split, and {there}"
            diagnostics.add("error", "no-sentence", corpus.place, message)
        elif corpus.given and name not in (*corpus.given, TRAIN):
            message = f"{name} is cut from train: {split.sentences:,} sentences"
            diagnostics.add("note", "cut-split", corpus.place, message)


def _report_types(profile: CorpusProfile, corpus: Corpus, diagnostics: Diagnostics) -> None:
    total = sum((split.entities for split in profile.splits.values()), Counter[str]())
    if not total:
        message = "every word is tagged O, so there is nothing to learn. Is data.tags the right column?"
        diagnostics.add("error", "no-entity", corpus.place, message)
    report_type_names(total, corpus.place, diagnostics)
    first = next(iter(profile.splits))
    for kind in sorted(total):
        splits = [name for name, split in profile.splits.items() if split.entities[kind]]
        if len(splits) == 1 < len(profile.splits):
            message = f"{format_type(kind)} occurs in {splits[0]} only, {total[kind]:,} times"
            diagnostics.add("warning", "one-split", corpus.place, message)
        count = profile.splits[first].entities[kind]
        if count < FEW:
            message = f"{format_type(kind)} has only {count} examples in {first}, too few to learn from"
            diagnostics.add("warning", "few-examples", corpus.place, message)
