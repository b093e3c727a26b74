"""Encode blocks of labelled words as rows of the Arrow file (columns: stages/encoding/files.py)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.corpus.text.documents import Context, document_starts
from stages.corpus.text.sentences import NO_DOCUMENT
from stages.encoding.files import IGNORED, NO_WORD, SCHEMA
from stages.encoding.vocabulary import Vocabulary
from stages.encoding.windows import Int64s, Windows, cut_texts, join_ranges

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
    """Encodes blocks as windows of at most `length` tokens, special tokens included, that overlap by `overlap`.

    `context` says what is cut into windows as one text: a sentence, or the sentences of a document.
    """

    vocabulary: Vocabulary
    length: int = field(kw_only=True)
    overlap: int = field(kw_only=True)
    context: Context = field(kw_only=True)

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

        `distinct` [W] is the dictionary-encoded `words`, if already computed. `documents` [S] is the number of the
        document of each sentence, NO_DOCUMENT for none; of all if absent. A word of more tokens than a window holds is
        truncated; it keeps its label.
        """
        if documents is None:
            documents = np.full(len(words), NO_DOCUMENT, np.int32)
        tokens = self.vocabulary.look_up(words.values.dictionary_encode() if distinct is None else distinct)
        counts = np.minimum(tokens.counts, self.capacity)
        firsts = document_starts(documents) if self.context == "document" else np.arange(len(words))
        bounds = np.append(firsts, len(words))
        offsets = words.offsets.to_numpy().astype(np.int64)
        windows = cut_texts(offsets[bounds], counts, capacity=self.capacity, overlap=self.overlap)
        return EncodedBlock(words, labels, documents, bounds, windows, self.frame, tokens.ids, tokens.starts, counts)


@dataclass(frozen=True)
class EncodedBlock:
    """A block of S sentences and W words with their tokens, and the windows of its texts."""

    words: pa.ListArray  # [S]
    labels: Int32s  # [W]
    documents: Int32s  # [S]
    bounds: Int64s  # the first sentence of each text that was cut as a whole, and S
    windows: Windows
    frame: Frame
    ids: Int32s  # tokens of all words of the vocabulary
    starts: Int32s  # [W] the place in `ids` of the first token of each word
    counts: Int32s  # [W] the number of its tokens

    def rows(self, chosen_S: Bools | None = None, *, first: int = 0) -> pa.RecordBatch:
        """Return the rows of all windows of the chosen sentences, which are numbered from `first`.

        Of the sentences of a text all are chosen, or none.
        """
        if chosen_S is None or chosen_S.all():  # saves copies where a whole file is of one split
            chosen_S = np.ones(len(self.words), bool)
            windows, words = self.windows, self.words
        else:
            is_chosen = chosen_S[self.bounds[self.windows.texts]]
            windows = Windows(*(column[is_chosen] for column in self.windows))
            words = self.words.filter(pa.array(chosen_S))
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
        sentence_R = self._sentences(windows)
        sentence_starts = self.words.offsets.to_numpy()
        word_index[first_V[owned_V]] = (shown_V - sentence_starts[sentence_R][window_V])[owned_V]

        numbers = np.cumsum(chosen_S) - 1
        begun_R = numbers[sentence_R] + (sentence_starts[sentence_R] < windows.owned_starts)
        columns = [
            pa.ListArray.from_arrays(offsets.astype(np.int32), values) for values in (input_ids, labels, word_index)
        ]
        sentences = pa.ListArray.from_arrays(np.append(begun_R, len(words)).astype(np.int32), words)
        own = [(numbers[sentence_R] + first).astype(np.int32), self.documents[sentence_R].astype(np.int32)]
        return pa.RecordBatch.from_arrays([*columns, *map(pa.array, own), sentences], schema=SCHEMA)

    def _sentences(self, windows: Windows) -> Int64s:
        """[R] the sentence in which the words begin that a window owns; the first of its text for the first window."""
        firsts, lasts = self.bounds[windows.texts], self.bounds[windows.texts + 1] - 1
        begins = np.searchsorted(self.words.offsets.to_numpy(), windows.owned_starts, side="right") - 1
        is_first = np.diff(windows.texts, prepend=-1) > 0
        return np.where(is_first, firsts, np.minimum(begins, lasts))
