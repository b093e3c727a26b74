"""A corpus of tagged text -> windows of tokens with a label on the first token of each word."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.corpus.faults import name_dropped
from stages.corpus.profile import CorpusProfile, profile_corpus
from stages.corpus.reading import Corpus, open_corpus
from stages.corpus.splits import open_older
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.documents import DocumentCounter
from stages.corpus.text.schemes import iob2_labels, label_ids
from stages.corpus.type_names import format_type, require_shared
from stages.corpus.warnings import log_notes, log_warnings
from stages.encoding.files import split_writer
from stages.encoding.rows import Encoder, frame_of
from stages.encoding.vocabulary import Vocabulary
from stages.runtime.prefetch import prefetch
from stages.runtime.progress import progress_bar

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

NO_PROFILE: dict[str, Any] = {"scheme": None, "window": None, "splits": {}}

log = logging.getLogger("tokenize")


@dataclass(frozen=True)
class TaggedCorpus:
    """A corpus that was read once: its labels and scheme are known, and it has no faults."""

    corpus: Corpus
    profile: CorpusProfile
    diagnostics: Diagnostics
    encoder: Encoder

    @property
    def labels(self) -> list[str]:
        """The tags in IOB2."""
        return self.profile.reader.labels

    @property
    def details(self) -> dict[str, Any]:
        """The scheme that the tags of the files follow."""
        return {"scheme": self.profile.reader.scheme}

    @property
    def progress(self) -> tuple[int, str]:
        """The number of words."""
        return sum(split.words for split in self.profile.splits.values()), "word"

    @property
    def dropped(self) -> dict[str, list[str]]:
        """By split the first of the sentences that were left out."""
        return name_dropped(self.corpus.place, self.corpus.splits, self.diagnostics)

    def encode(
        self, folder: Path, *, labels: Sequence[str], names: Mapping[str, str], on_block: Callable[[int], object]
    ) -> dict[str, dict[str, int]]:
        """Write the Arrow file of each split that `names` has, and return its counts by name.

        `tokens` includes special tokens. Calls `on_block` after each block with its number of words.
        """
        counts = {split: Counter[str]() for split in self.corpus.splits if split in names}
        diagnostics, documents = Diagnostics(), DocumentCounter()
        blocks = self.corpus.blocks(diagnostics, whole_documents=self.encoder.context == "document")
        with ExitStack() as stack:
            writers = {split: stack.enter_context(split_writer(folder / f"{names[split]}.arrow")) for split in counts}
            for block, split_S in prefetch(blocks):
                entities = self.profile.reader.read(block)
                ids_W = label_ids(entities, self.profile.reader.types, labels)
                encoded = self.encoder.encode(
                    block.words, ids_W, distinct=block.distinct, documents=documents.count(block)
                )
                lengths = np.diff(block.offsets)
                for number in np.unique(split_S):
                    split = self.corpus.splits[number]
                    if split not in counts:
                        continue
                    count, chosen_S = counts[split], split_S == number
                    rows = encoded.rows(chosen_S, first=count["sentences"])
                    writers[split].write_batch(rows)
                    count["sentences"] += int(chosen_S.sum())
                    count["words"] += int(lengths[chosen_S].sum())
                    count["entities"] += int((entities.starts & np.repeat(chosen_S, lengths)).sum())
                    count["windows"] += len(rows)
                    count["tokens"] += len(rows.column("input_ids").values)
                on_block(len(entities.types))
        diagnostics.raise_errors(f"{self.corpus.place} has changed while it was read:")
        return {names[split]: dict(count) | self._count_dropped(split) for split, count in counts.items()}

    def _count_dropped(self, split: str) -> dict[str, int]:
        """The count of a split's sentences that were left out; nothing if there are none."""
        dropped = self.profile.splits[split].dropped
        return {"dropped": dropped} if dropped else {}


def check_corpus(params: Any, tokenizer: "PreTrainedTokenizerFast", *, is_older: bool = False) -> TaggedCorpus:
    """Read the corpus once; log warnings, first those on the corpus as a whole; one CorpusError reports all faults."""
    corpus = open_older(partial(open_corpus, allow_unsplit=True), params.data) if is_older else open_corpus(params.data)
    diagnostics = Diagnostics()
    window, vocabulary = params.tokenize, Vocabulary(tokenizer)
    with progress_bar(total=None, unit="word", description="check") as progress:
        profile = profile_corpus(
            corpus, diagnostics, count_tokens=vocabulary.look_up, context=window.context, on_block=progress.update
        )
    if not is_older:
        log_warnings(diagnostics, headlines=True)
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    types = ", ".join(map(format_type, sorted(profile.reader.types)))
    log.info("%s is %s with %s", corpus.place, profile.reader.scheme, types)
    if not is_older:
        log_notes(diagnostics, "cut-split")
        log_warnings(diagnostics, headlines=False)
    encoder = Encoder(vocabulary, length=window.window_length, overlap=window.window_overlap, context=window.context)
    return TaggedCorpus(corpus, profile, diagnostics, encoder)


def combine(
    corpora: Sequence[TaggedCorpus], known: Sequence[str], _: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The tags of the types of all corpora and of the model that training starts from; the scheme of the first."""
    types = {tag[2:] for tag in known if tag[2:]} | set(corpora[0].profile.reader.types)
    for older in corpora[1:]:
        require_shared(older.corpus.place, older.profile.reader.types, types)
    types |= {name for older in corpora[1:] for name in older.profile.reader.types}
    return iob2_labels(types), corpora[0].details


def profile(params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics) -> dict[str, Any]:
    """Scheme, and for each split its sentences, words, entities and tokens; CorpusError if there is no corpus."""
    corpus, window = open_corpus(params.data, allow_unsplit=True), params.tokenize.window_length
    with progress_bar(total=None, unit="word", description="check") as progress:
        found = profile_corpus(
            corpus,
            diagnostics,
            count_tokens=Vocabulary(tokenizer).look_up if tokenizer else None,
            context=params.tokenize.context,
            on_block=progress.update,
        )
    return found.to_json(window=window - sum(map(len, frame_of(tokenizer))) if tokenizer else window)
