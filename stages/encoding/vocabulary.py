"""The tokens of words. A word always becomes the same tokens, so each distinct word is encoded once."""

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

MAX_WORDS = 100_000  # some 30 MB; then the cache is cleared, so that memory does not grow with the corpus
BATCH = 64  # words passed to the tokenizer as one sentence; it encodes many sentences in parallel
NEW = -1


class WordTokens(NamedTuple):
    """The tokens of W words: those of word w are `ids[starts[w]:starts[w] + counts[w]]`, at least one."""

    ids: Int32s
    starts: Int32s  # [W]
    counts: Int32s  # [W]
    unknown: Bools  # [W] whether the word, or a part of it, is the unknown token


class Vocabulary:
    """A cache of the tokens of words."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self.tokenizer = tokenizer
        self._unknown_id = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
        self._clear()

    def look_up(self, words: pa.DictionaryArray) -> WordTokens:
        """Return the tokens of each word; a word that maps to nothing becomes the unknown token."""
        distinct = words.dictionary.to_numpy(zero_copy_only=False).tolist()
        if len(self._numbers) + len(distinct) > MAX_WORDS:
            self._clear()
        numbers = np.fromiter(map(self._numbers.get, distinct, repeat(NEW)), np.int64, len(distinct))
        new = np.flatnonzero(numbers == NEW)
        numbers[new] = np.arange(len(new)) + len(self._numbers)
        self._add([distinct[number] for number in new])
        entries = numbers[words.indices.to_numpy()]
        starts = self._starts[entries]
        return WordTokens(self._ids, starts, self._starts[entries + 1] - starts, self._unknown[entries])

    def _clear(self) -> None:
        self._numbers: dict[str, int] = {}
        self._ids: Int32s = np.empty(0, np.int32)
        self._starts: Int32s = np.zeros(1, np.int32)
        self._unknown: Bools = np.empty(0, bool)

    def _add(self, words: list[str]) -> None:
        if not words:
            return
        batches = [words[start : start + BATCH] for start in range(0, len(words), BATCH)]
        encodings = self.tokenizer.backend_tokenizer.encode_batch(
            batches, is_pretokenized=True, add_special_tokens=False
        )
        ids = np.concatenate([np.array(encoding.ids, np.int32) for encoding in encodings])
        of_word = np.concatenate(
            [np.array(encoding.word_ids, np.int64) + number * BATCH for number, encoding in enumerate(encodings)]
        )
        counts = np.bincount(of_word, minlength=len(words))
        empty = np.flatnonzero(counts == 0)
        ids = np.insert(ids, np.searchsorted(of_word, empty), self._unknown_id).astype(np.int32)
        counts[empty] = 1
        ends = np.cumsum(counts)
        unknown = np.add.reduceat(ids == self._unknown_id, ends - counts) > 0

        self._numbers.update(zip(words, range(len(self._numbers), len(self._numbers) + len(words)), strict=True))
        self._starts = np.concatenate([self._starts, (self._starts[-1] + ends).astype(np.int32)])
        self._ids = np.concatenate([self._ids, ids])
        self._unknown = np.concatenate([self._unknown, unknown])
