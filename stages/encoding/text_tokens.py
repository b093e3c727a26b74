"""The tokens of raw texts, as the tokenizer's own `encode` gives them, special tokens not included.

Where a tokenizer's texts may be cut into chunks (stages/encoding/text_chunks.py), each distinct chunk is encoded once.
All other texts are encoded whole: those of other tokenizers, those in which a chunk is not clean, such as one that
holds the added token `[MASK]`, and those with a chunk too long to occur again, as a Chinese text without blanks.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.encoding.text_chunks import chunk_rule
from stages.encoding.windows import join_ranges

if TYPE_CHECKING:  # transformers takes a second to import
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Levels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

MAX_CHUNKS = 400_000  # some 120 MB; then the cache is cleared, so that memory does not grow with the corpus
MAX_BYTES = 64  # of a chunk
BATCH = 1_000  # texts passed to the tokenizer at a time
NEW, WHOLE = -1, -2  # instead of a place in the cache: not in it yet; its texts must be encoded whole

# How the piece of text that a token begins is parted from the one before: within a piece of the pre-tokenizer, between
# two of them, or by white space.
WITHIN, PIECE, WORD = 0, 1, 2

# The start-up check: each step of a tokenizer that could see across a cut would do so in one of these.
PROBES = [
    "Munich and  Zürich, don't\u00a0go \u0301x \u200b y e\u0301 z\tw\n v.",
    " The\u3000cat\u2019s (2nd) 中文 字 ﬁ \u0600 x ▁ a ▁b \x01 c ",
]


class TextTokens(NamedTuple):
    """The tokens of E texts: those of text e are `ids[offsets[e]:offsets[e + 1]]`, perhaps none."""

    ids: Int32s  # [T]
    levels: Levels  # [T] WITHIN, PIECE or WORD
    offsets: Int64s  # [E + 1]


class TextTokenizer:
    """Tokenizes texts, with a cache of the tokens of chunks."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self.tokenizer = tokenizer
        self._clear()
        self.rule = chunk_rule(tokenizer)
        probes = pa.array(PROBES, pa.string())
        if self.rule is not None and self.tokenize(probes).ids.tolist() != self._encode(PROBES).ids.tolist():
            self.rule = None
        self._clear()

    def tokenize(self, texts: pa.StringArray) -> TextTokens:
        """Return the tokens of texts, without nulls."""
        if self.rule is None:
            return self._encode(texts.to_pylist())
        chunks, counts = self.rule.cut(texts)
        entries, is_whole = self._look_up(chunks, counts)
        text = np.repeat(np.arange(len(texts)), counts)
        if is_whole.any():
            entries = entries[~is_whole[text]]
            text = text[~is_whole[text]]
        lengths = self._starts[entries + 1] - self._starts[entries]
        source, _ = join_ranges(self._starts[entries], lengths)
        sizes = np.bincount(text, lengths, minlength=len(texts)).astype(np.int64)
        known = TextTokens(self._ids[source], self._levels[source], _bounds(sizes))
        if not is_whole.any():
            return known
        return _merge(known, self._encode(texts.filter(pa.array(is_whole)).to_pylist()), is_whole)

    def _clear(self) -> None:
        self._numbers: dict[str, int] = {}
        self._ids: Int32s = np.empty(0, np.int32)
        self._levels: Levels = np.empty(0, np.uint8)
        self._starts: Int64s = np.zeros(1, np.int64)

    def _look_up(self, chunks: pa.StringArray, counts: Int64s) -> tuple[Int64s, Bools]:
        """Return the place of each chunk in the cache, and which texts must be encoded whole.

        `counts` [E] is the number of chunks of each text.
        """
        firsts = np.cumsum(counts) - counts
        too_long = np.diff(np.frombuffer(chunks.buffers()[1], np.int32)[chunks.offset :][: len(chunks) + 1]) > MAX_BYTES
        is_whole: Bools = np.bitwise_or.reduceat(too_long, firsts) if len(firsts) else np.zeros(0, bool)
        if is_whole.any():
            chunks = pc.if_else(pa.array(np.repeat(is_whole, counts)), "", chunks)
        distinct = chunks.dictionary_encode()
        names = distinct.dictionary.to_numpy(zero_copy_only=False).tolist()
        if len(self._numbers) + len(names) > MAX_CHUNKS:
            self._clear()
        numbers = np.fromiter(map(self._numbers.get, names, repeat(NEW)), np.int64, len(names))
        new = np.flatnonzero(numbers == NEW)
        numbers[new] = self._add([names[number] for number in new])
        entries = numbers[distinct.indices.to_numpy()]
        if len(firsts):
            is_whole |= np.bitwise_or.reduceat(entries == WHOLE, firsts)
        return entries, is_whole

    def _add(self, chunks: list[str]) -> list[int]:
        """Encode new chunks; return the place of each in the cache."""
        assert self.rule is not None
        clean = [chunk for chunk in chunks if self.rule.is_clean(chunk)]
        first = len(self._starts) - 1
        added = dict.fromkeys(chunks, WHOLE) | dict(zip(clean, range(first, first + len(clean)), strict=True))
        self._numbers |= added
        if clean:
            tokens = self._encode(clean)
            self._ids = np.concatenate([self._ids, tokens.ids])
            self._levels = np.concatenate([self._levels, tokens.levels])
            self._starts = np.concatenate([self._starts, self._starts[-1] + tokens.offsets[1:]])
        return list(added.values())

    def _encode(self, texts: list[str]) -> TextTokens:
        """Encode texts as the tokenizer does."""
        parts = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            encodings = self.tokenizer.backend_tokenizer.encode_batch(batch, add_special_tokens=False)
            ids = np.array([token for encoding in encodings for token in encoding.ids], np.int32)
            sizes = np.fromiter(map(len, encodings), np.int64, len(encodings))
            parts.append((ids, _find_levels(batch, encodings, sizes), sizes))
        if not parts:
            return TextTokens(np.empty(0, np.int32), np.empty(0, np.uint8), np.zeros(1, np.int64))
        ids, levels, all_sizes = (np.concatenate(column) for column in zip(*parts, strict=True))
        return TextTokens(ids, levels, _bounds(all_sizes))


def _find_levels(texts: Sequence[str], encodings: Sequence["Encoding"], sizes: Int64s) -> Levels:
    """Return how each token is parted from the one before in its text; the first of a text begins a word."""
    pieces = np.array([piece for encoding in encodings for piece in encoding.word_ids], np.float64)  # None is nan
    places = np.array([pair for encoding in encodings for pair in encoding.offsets], np.int64).reshape(-1, 2)
    firsts = _bounds(sizes)[:-1][sizes > 0]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    # [C + 1] the number of characters of white space before each place of the joined texts.
    characters = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    white, codes = np.unique(characters, return_inverse=True)
    is_white = np.array([chr(code).isspace() for code in white], bool)[codes] if len(white) else np.zeros(0, bool)
    before = _bounds(is_white.astype(np.int64))
    places += np.repeat(np.cumsum(lengths) - lengths, sizes)[:, None]
    levels = np.zeros(len(pieces), np.uint8)
    if not len(levels):
        return levels
    begins = np.flatnonzero(np.append(True, pieces[1:] != pieces[:-1]))
    # White space stands between the two, or at the start of the token where the tokenizer counts a blank to it.
    first_after = np.minimum(places[begins, 0] + 1, places[begins, 1])
    levels[begins] = np.where(before[first_after] > before[places[begins - 1, 1]], WORD, PIECE)
    levels[firsts] = WORD
    return levels


def _merge(known: TextTokens, whole: TextTokens, is_whole: Bools) -> TextTokens:
    """Put the texts that were encoded whole into their places among the others, which have no tokens there."""
    sizes = np.diff(known.offsets)
    sizes[is_whole] = np.diff(whole.offsets)
    offsets = _bounds(sizes)
    from_whole = np.repeat(is_whole, sizes)
    ids, levels = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.uint8)
    ids[from_whole], ids[~from_whole] = whole.ids, known.ids
    levels[from_whole], levels[~from_whole] = whole.levels, known.levels
    return TextTokens(ids, levels, offsets)


def _bounds(sizes: Int64s) -> Int64s:
    """Where each item begins, and the end of the last."""
    return np.append(0, np.cumsum(sizes, dtype=np.int64))
