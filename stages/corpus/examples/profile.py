"""Profile labelled texts: what a corpus contains, and what may be wrong with it, before an hour of training."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pyarrow as pa

from stages.corpus.examples.doubts import report_doubts, report_gaps
from stages.corpus.examples.figures import ExampleProfile, ExampleSplit
from stages.corpus.examples.readers.blocks import Bools, ExampleBlock
from stages.corpus.examples.reading import ExampleCorpus
from stages.corpus.examples.repetition import Repetition
from stages.corpus.faults import DROPPED, judge_faulty
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import Int32s


class TextTokens(Protocol):
    """How a tokenizer divides E texts."""

    @property
    def counts(self) -> Int32s:
        """[E] the number of tokens of each text, without special ones."""

    @property
    def unknown(self) -> Int32s:
        """[E] how many of these are the unknown token."""


CountTokens = Callable[[pa.StringArray], TextTokens]


def profile_examples(
    corpus: ExampleCorpus,
    diagnostics: Diagnostics,
    *,
    count_tokens: CountTokens | None,
    window: int,
    on_block: Callable[[int], object],
) -> ExampleProfile:
    """Read the whole corpus; calls `on_block` after each block with its number of examples.

    Faults and doubts are added to `diagnostics`; the caller decides whether to continue. Without `count_tokens`, tokens
    are not profiled. `window` is the number of tokens that one window holds.
    """
    targets = corpus.columns.answers.columns if corpus.columns.wanted == "numbers" else None
    profile = ExampleProfile({name: ExampleSplit() for name in corpus.splits}, count_tokens is not None, targets)
    repetition = Repetition(corpus.splits)
    for block, splits_E in corpus.blocks(diagnostics):
        counts_E, unknown_E = _count_tokens(block, count_tokens)
        for number in np.unique(splits_E):
            chosen_E = splits_E == number
            is_all = bool(chosen_E.all())
            profile.splits[corpus.splits[number]].add(
                block if is_all else block.select(chosen_E), _take(counts_E, chosen_E), _take(unknown_E, chosen_E)
            )
        repetition.add(block, splits_E)
        if counts_E is not None and unknown_E is not None:
            _report_unknown(block, counts_E, unknown_E, diagnostics)
        on_block(len(block))
    _report_faulty(profile, corpus, diagnostics)
    if not diagnostics.of("error"):  # figures of the readable part alone would mislead
        report_doubts(profile, corpus, repetition, diagnostics, window=window)
    if not diagnostics.of("error"):
        repetition.report(diagnostics)
    diagnostics.sort([str(path) for path, _ in corpus.files])
    return profile


def _count_tokens(block: ExampleBlock, count: CountTokens | None) -> tuple[Int32s | None, Int32s | None]:
    """Return the tokens of each example, both of its texts together, and how many of them are unknown."""
    if count is None:
        return None, None
    tokens = [count(texts) for texts in (block.texts, block.pairs) if texts is not None]
    counts, unknown = tokens[0].counts, tokens[0].unknown
    for other in tokens[1:]:
        counts, unknown = counts + other.counts, unknown + other.unknown
    return counts, unknown


def _take(values_E: Int32s | None, chosen_E: Bools) -> Int32s | None:
    return None if values_E is None else values_E[chosen_E]


def _report_unknown(block: ExampleBlock, counts_E: Int32s, unknown_E: Int32s, diagnostics: Diagnostics) -> None:
    at = np.flatnonzero(counts_E == 0)
    examples = ((block.where(n), f"the tokenizer sees nothing in {block.show(n)}") for n in at)
    diagnostics.add_all("warning", "no-token", len(at), examples)
    at = np.flatnonzero(unknown_E)
    examples = (
        (block.where(n), f"the tokenizer does not know {_say_words(int(unknown_E[n]))} of {block.show(n)}") for n in at
    )
    diagnostics.add_all("warning", "unknown-word", len(at), examples)


def _say_words(count: int) -> str:
    return "a word" if count == 1 else f"{count:,} words"


def _report_faulty(profile: ExampleProfile, corpus: ExampleCorpus, diagnostics: Diagnostics) -> None:
    examples = sum(split.examples for split in profile.splits.values())
    for name, split in profile.splits.items():
        split.dropped = diagnostics.counts[f"{DROPPED}{name}"]
    judge_faulty(diagnostics, corpus.params.faulty, sentences=examples, where=corpus.place, noun="examples")
    report_gaps(corpus, diagnostics)
