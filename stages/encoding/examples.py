"""A corpus of labelled texts -> Arrow files of windows, as every task on texts encodes it."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.corpus.examples.figures import ExampleProfile
from stages.corpus.examples.profile import profile_examples
from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.reading import ExampleCorpus
from stages.corpus.faults import name_dropped
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.warnings import log_notes, log_warnings
from stages.encoding.text_rows import TextEncoder, template_of
from stages.encoding.text_tokens import TextTokenizer
from stages.encoding.texts import AnswersName, text_schema, text_writer
from stages.runtime.prefetch import prefetch
from stages.runtime.progress import progress_bar

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

Int32s = npt.NDArray[np.int32]

log = logging.getLogger("tokenize")


@dataclass(frozen=True)
class TokenCounts:
    """How a tokenizer divides E texts: tokens of each, and how many of these are the unknown token."""

    counts: Int32s
    unknown: Int32s


@dataclass(frozen=True)
class CheckedExamples:
    """A corpus of labelled texts that was read once and has no faults.

    `encode_answers` gives the answers of the examples of a block, a list each, for the column `answers_name`, as ids
    among the labels that it is also given, if they are labels.
    """

    corpus: ExampleCorpus
    profile: ExampleProfile
    diagnostics: Diagnostics
    encoder: TextEncoder
    labels: list[str]
    details: dict[str, Any]
    answers_name: AnswersName
    encode_answers: Callable[[ExampleBlock, Sequence[str]], pa.ListArray]

    @property
    def progress(self) -> tuple[int, str]:
        """The number of texts."""
        return sum(split.examples for split in self.profile.splits.values()), "text"

    @property
    def dropped(self) -> dict[str, list[str]]:
        """By split the first of the texts that were left out."""
        return name_dropped(self.corpus.place, self.corpus.splits, self.diagnostics)

    def encode(
        self, folder: Path, *, labels: Sequence[str], names: Mapping[str, str], on_block: Callable[[int], object]
    ) -> dict[str, dict[str, int]]:
        """Write the Arrow file of each split that `names` has, and return its counts by name.

        `tokens` includes special tokens. Calls `on_block` after each block with its number of texts.
        """
        counts = {split: Counter[str]() for split in self.corpus.splits if split in names}
        schema = text_schema(self.answers_name, self.corpus.params.slices)
        diagnostics = Diagnostics()
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(text_writer(folder / f"{names[split]}.arrow", schema)) for split in counts
            }
            for block, split_E in prefetch(self.corpus.blocks(diagnostics)):
                for number in np.unique(split_E):
                    split = self.corpus.splits[number]
                    if split not in counts:
                        continue
                    count, chosen_E = counts[split], split_E == number
                    chosen = block if chosen_E.all() else block.select(chosen_E)
                    rows = self.encoder.encode(chosen.texts, chosen.pairs).rows(
                        first=count["texts"], answers=self.encode_answers(chosen, labels), slices=chosen.slices
                    )
                    writers[split].write_batch(rows)
                    count["texts"] += len(chosen)
                    count["windows"] += len(rows)
                    count["tokens"] += len(rows.column("input_ids").values)
                on_block(len(block))
        diagnostics.raise_errors(f"{self.corpus.place} has changed while it was read:")
        return {names[split]: dict(count) | self._count_dropped(split) for split, count in counts.items()}

    def _count_dropped(self, split: str) -> dict[str, int]:
        """The count of a split's texts that were left out; nothing if there are none."""
        dropped = self.profile.splits[split].dropped
        return {"dropped": dropped} if dropped else {}


def check_examples(
    corpus: ExampleCorpus, tokenizer: "PreTrainedTokenizerFast", *, window_length: int, is_older: bool
) -> tuple[ExampleProfile, Diagnostics]:
    """Read the corpus once; log warnings, first those on the corpus as a whole; one CorpusError reports all faults.

    There are no warnings on one that `is_older`.
    """
    diagnostics = Diagnostics()
    profile = _profile(corpus, diagnostics, tokenizer, window_length)
    if not is_older:
        log_warnings(diagnostics, headlines=True)
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    if not is_older:
        log_notes(diagnostics, "cut-split")
        log_warnings(diagnostics, headlines=False)
    return profile, diagnostics


def describe_examples(
    corpus: ExampleCorpus,
    diagnostics: Diagnostics,
    tokenizer: "PreTrainedTokenizerFast | None",
    *,
    window_length: int,
) -> dict[str, Any]:
    """What the corpus contains, for `tuneline check`; faults and doubts are added to `diagnostics`."""
    profile = _profile(corpus, diagnostics, tokenizer, window_length)
    return profile.to_json(window=_count_room(corpus, tokenizer, window_length))


def _profile(
    corpus: ExampleCorpus, diagnostics: Diagnostics, tokenizer: "PreTrainedTokenizerFast | None", window_length: int
) -> ExampleProfile:
    with progress_bar(total=None, unit="text", description="check") as progress:
        return profile_examples(
            corpus,
            diagnostics,
            count_tokens=_token_counter(tokenizer) if tokenizer else None,
            window=_count_room(corpus, tokenizer, window_length),
            on_block=progress.update,
        )


def _count_room(corpus: ExampleCorpus, tokenizer: "PreTrainedTokenizerFast | None", window_length: int) -> int:
    """The tokens that a window holds, without special ones."""
    if tokenizer is None:
        return window_length
    return window_length - template_of(tokenizer, pairs=corpus.params.text_pair is not None).size


def _token_counter(tokenizer: "PreTrainedTokenizerFast") -> Callable[[pa.StringArray], TokenCounts]:
    texts, unknown_id = TextTokenizer(tokenizer), tokenizer.unk_token_id

    def count(column: pa.StringArray) -> TokenCounts:
        tokens = texts.tokenize(column)
        is_unknown = np.append(0, np.cumsum(tokens.ids == unknown_id)) if unknown_id is not None else None
        counts = np.diff(tokens.offsets).astype(np.int32)
        unknown = np.zeros_like(counts) if is_unknown is None else np.diff(is_unknown[tokens.offsets]).astype(np.int32)
        return TokenCounts(counts, unknown)

    return count
