"""Encode blocks of labelled words as rows of the Arrow file (columns: stages/encoding/files.py)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.encoding.files import IGNORED, NO_WORD, SCHEMA
from stages.encoding.vocabulary import Vocabulary
from stages.encoding.windows import Windows, document_windows, join_ranges, sentence_windows

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


class Frame(NamedTuple):
    """Ids of the special tokens before and after the content: `[CLS]` and `[SEP]` in BERT."""

    before: list[int]
    after: list[int]


def frame_of(tokenizer: "PreTrainedTokenizerFast") -> Frame:
    """Return the special tokens that a tokenizer adds around one sequence."""
    encoding = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
    content = [position for position, special in enumerate(encoding.special_tokens_mask) if not special]
    return Frame(encoding.ids[: content[0]], encoding.ids[content[-1] + 1 :])


@dataclass
class Encoder:
    """Encodes blocks as windows of at most `length` tokens, special tokens included, that overlap by `overlap`."""

    vocabulary: Vocabulary
    length: int = field(kw_only=True)
    overlap: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self.frame = frame_of(self.vocabulary.tokenizer)
        self.capacity = self.length - len(self.frame.before) - len(self.frame.after)

    def encode(
        self,
        words: pa.ListArray,
        labels: Int32s,
        *,
        distinct: pa.DictionaryArray | None = None,
        documents: Int32s | None = None,
    ) -> "EncodedBlock":
        """Encode sentences; `labels` [W] is the label id of each word.

        `distinct` [W] is the dictionary-encoded `words`, if already computed. With `documents` [S], windows are widened
        into the sentences around. A word of more tokens than a window holds is truncated; it keeps its label.
        """
        offsets = words.offsets.to_numpy()
        tokens = self.vocabulary.look_up(words.values.dictionary_encode() if distinct is None else distinct)
        counts = np.minimum(tokens.counts, self.capacity)
        windows = sentence_windows(offsets, counts, capacity=self.capacity, overlap=self.overlap)
        if documents is not None:
            windows = document_windows(windows, documents, offsets, counts, capacity=self.capacity)
        return EncodedBlock(words, labels, windows, self.frame, tokens.ids, tokens.starts, counts)


@dataclass(frozen=True)
class EncodedBlock:
    """A block of S sentences and W words with their tokens and windows."""

    words: pa.ListArray  # [S]
    labels: Int32s  # [W]
    windows: Windows
    frame: Frame
    ids: Int32s  # tokens of all words of the vocabulary
    starts: Int32s  # [W] the place in `ids` of the first token of each word
    counts: Int32s  # [W] the number of its tokens

    def rows(self, chosen_S: Bools | None = None, *, first: int = 0) -> pa.RecordBatch:
        """Return the rows of all windows of the chosen sentences, which are numbered from `first`."""
        if chosen_S is not None and chosen_S.all():
            chosen_S = None  # saves copies where a whole file is of one split
        windows = self.windows if chosen_S is None else self.windows.of(chosen_S)
        sentences = np.arange(len(self.words)) if chosen_S is None else np.cumsum(chosen_S) - 1
        before, after = self.frame
        # V words are shown, window by window; first_V is the place of the first token of each in the row values.
        shown_V, window_V = join_ranges(windows.starts, windows.ends - windows.starts)
        counts_V = self.counts[shown_V]
        content_R = np.bincount(window_V, counts_V, minlength=len(windows.starts)).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(content_R + len(before) + len(after))])
        # Before a word come the content of the block up to it, and the special tokens up to its window.
        content_V = np.cumsum(counts_V) - counts_V
        first_V = content_V + (window_V + 1) * len(before) + window_V * len(after)

        input_ids = np.empty(offsets[-1], np.int32)
        for place, token in enumerate(before):
            input_ids[offsets[:-1] + place] = token
        for place, token in enumerate(after):
            input_ids[offsets[1:] - len(after) + place] = token
        source, of_word = join_ranges(self.starts[shown_V], counts_V)
        input_ids[first_V[of_word] + np.arange(len(of_word)) - content_V[of_word]] = self.ids[source]

        owned_V = (shown_V >= windows.owned_starts[window_V]) & (shown_V < windows.owned_ends[window_V])
        labels = np.full(len(input_ids), IGNORED, np.int32)
        labels[first_V[owned_V]] = self.labels[shown_V[owned_V]]
        word_index = np.full(len(input_ids), NO_WORD, np.int32)
        sentence_starts = self.words.offsets.to_numpy()[windows.sentences]
        word_index[first_V[owned_V]] = (shown_V - sentence_starts[window_V])[owned_V]

        words = self.words
        if chosen_S is not None or len(windows.sentences) > len(words):
            words = words.take(pa.array(windows.sentences, mask=windows.numbers > 0))
        columns = [
            pa.ListArray.from_arrays(offsets.astype(np.int32), values) for values in (input_ids, labels, word_index)
        ]
        numbers = [(sentences[windows.sentences] + first).astype(np.int32), windows.numbers.astype(np.int32)]
        return pa.RecordBatch.from_arrays([*columns, *map(pa.array, numbers), words], schema=SCHEMA)
