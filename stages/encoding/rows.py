"""Words with labels to the rows of the Arrow file (its columns: stages/encoding/files.py), block by block."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from stages.encoding.files import IGNORED, NO_WORD, SCHEMA
from stages.encoding.vocabulary import Vocabulary
from stages.encoding.windows import Windows, document_windows, sentence_windows

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Frame(NamedTuple):
    """Ids of the special tokens before and after the content: `[CLS]` and `[SEP]` in BERT."""

    before: list[int]
    after: list[int]


def frame(tokenizer: PreTrainedTokenizerFast) -> Frame:
    """The special tokens that this tokenizer puts around one sequence."""
    encoding = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
    content = [position for position, special in enumerate(encoding.special_tokens_mask) if not special]
    return Frame(encoding.ids[: content[0]], encoding.ids[content[-1] + 1 :])


@dataclass
class Encoder:
    """Encodes blocks: windows of at most `length` sub-words, special tokens included, that overlap by `overlap`."""

    vocabulary: Vocabulary
    length: int = field(kw_only=True)
    overlap: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self.frame = frame(self.vocabulary.tokenizer)
        self.capacity = self.length - len(self.frame.before) - len(self.frame.after)

    def encode(
        self,
        words: pa.ListArray,
        labels: Int32s,
        *,
        distinct: pa.DictionaryArray | None = None,
        documents: Int32s | None = None,
    ) -> "EncodedBlock":
        """Encode sentences; `labels` [W] is the label id of each word. With `documents` [S], neighbours give context.

        `distinct` [W] holds the same words, each once, if that is known already.
        A word of more sub-words than a whole window holds is cut to what fits; it keeps its label.
        """
        offsets = words.offsets.to_numpy()
        pieces = self.vocabulary.look_up(words.values.dictionary_encode() if distinct is None else distinct)
        counts = np.minimum(pieces.counts, self.capacity)
        windows = sentence_windows(offsets, counts, capacity=self.capacity, overlap=self.overlap)
        if documents is not None:
            windows = document_windows(windows, documents, offsets, counts, capacity=self.capacity)
        return EncodedBlock(words, labels, windows, self.frame, pieces.ids, pieces.starts, counts)


@dataclass(frozen=True)
class EncodedBlock:
    """A block of S sentences and W words, ready to be laid out in rows."""

    words: pa.ListArray  # [S]
    labels: Int32s  # [W]
    windows: Windows
    frame: Frame
    ids: Int32s  # sub-words of the vocabulary
    starts: Int32s  # [W] where in `ids` a word's begin
    counts: Int32s  # [W] how many it has here

    def rows(self, chosen_S: Bools | None = None, *, first: int = 0) -> pa.RecordBatch:
        """The rows of all windows of the chosen sentences, which are numbered from `first`."""
        if chosen_S is not None and chosen_S.all():
            chosen_S = None  # as where files say what split they are; it saves copies
        windows = self.windows if chosen_S is None else self.windows.of(chosen_S)
        sentences = np.arange(len(self.words)) if chosen_S is None else np.cumsum(chosen_S) - 1
        before, after = self.frame
        # The words shown, window by window: V of them, and their first sub-word's place in the row values.
        shown_V, window_V = _ranges(windows.starts, windows.ends - windows.starts)
        counts_V = self.counts[shown_V]
        content_R = np.bincount(window_V, counts_V, minlength=len(windows.starts)).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(content_R + len(before) + len(after))])
        # Content before a word: all that comes before it in the block, and the special tokens up to its window.
        content_V = np.cumsum(counts_V) - counts_V
        first_V = content_V + (window_V + 1) * len(before) + window_V * len(after)

        input_ids = np.empty(offsets[-1], np.int32)
        for place, token in enumerate(before):
            input_ids[offsets[:-1] + place] = token
        for place, token in enumerate(after):
            input_ids[offsets[1:] - len(after) + place] = token
        source, of_word = _ranges(self.starts[shown_V], counts_V)
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


def _ranges(starts: npt.NDArray[np.signedinteger], lengths: npt.NDArray[np.signedinteger]) -> tuple[Int64s, Int64s]:
    """start, start + 1, ... of each range, one after another, and the number of the range that each belongs to."""
    number = np.repeat(np.arange(len(starts)), lengths)
    begun = np.cumsum(lengths) - lengths
    return np.arange(len(number)) + (starts - begun)[number], number
