"""The sub-words of words. A pre-split word always becomes the same ones, so each distinct word is encoded once."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from transformers import PreTrainedTokenizerFast

Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

MAX_WORDS = 500_000  # some 100 MB; then it forgets all and begins anew
BATCH = 512  # words that the tokenizer gets as one sentence


class Pieces(NamedTuple):
    """The sub-words of W words: those of word w are `ids[starts[w]:starts[w] + counts[w]]`, at least one."""

    ids: Int32s
    starts: Int32s  # [W]
    counts: Int32s  # [W]
    unknown: Bools  # [W] whether the tokenizer has no sub-word for it, or for a part of it


class Vocabulary:
    """Every word met so far with its sub-words."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._unknown_id = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
        self._forget()

    def look_up(self, words: pa.StringArray) -> Pieces:
        """The sub-words of each word; a word that maps to nothing becomes the unknown token."""
        distinct = words.dictionary_encode()
        texts = distinct.dictionary.to_pylist()
        if len(self._numbers) + len(texts) > MAX_WORDS:
            self._forget()
        self._learn([text for text in texts if text not in self._numbers])
        numbers = np.fromiter((self._numbers[text] for text in texts), np.int64, len(texts))
        entries = numbers[distinct.indices.to_numpy()]
        starts = self._starts[entries]
        return Pieces(self._ids, starts, self._starts[entries + 1] - starts, self._unknown[entries])

    def _forget(self) -> None:
        self._numbers: dict[str, int] = {}
        self._ids: Int32s = np.empty(0, np.int32)
        self._starts: Int32s = np.zeros(1, np.int32)
        self._unknown: Bools = np.empty(0, bool)

    def _learn(self, words: list[str]) -> None:
        if not words:
            return
        batches = [words[start : start + BATCH] for start in range(0, len(words), BATCH)]
        encodings = self.tokenizer.backend_tokenizer.encode_batch(
            batches, is_pretokenized=True, add_special_tokens=False
        )
        pieces: list[list[int]] = [[] for _ in words]
        for number, encoding in enumerate(encodings):
            for word, token in zip(encoding.word_ids, encoding.ids, strict=True):
                assert word is not None  # only special tokens belong to no word
                pieces[number * BATCH + word].append(token)
        unknown = [not piece or self._unknown_id in piece for piece in pieces]
        pieces = [piece or [self._unknown_id] for piece in pieces]
        ends = self._starts[-1] + np.cumsum([len(piece) for piece in pieces])
        self._numbers.update(zip(words, range(len(self._numbers), len(self._numbers) + len(words)), strict=True))
        self._ids = np.concatenate([self._ids, np.array([token for piece in pieces for token in piece], np.int32)])
        self._starts = np.concatenate([self._starts, ends.astype(np.int32)])
        self._unknown = np.concatenate([self._unknown, np.array(unknown, bool)])
