"""Cut the tokens of documents into windows that are full, end between words, and never cross a document.

A word is what the tokenizer's pre-tokenizer takes for one piece: a sign of punctuation is a word of its own. Rows are
those of stages/encoding/texts.py: a window is an example with one row. Its `labels` say of each token whether a word
begins with it (BEGIN) or goes on (WITHIN); what is never masked, such as [CLS], is SPECIAL. The sliced column
`document` is the place where the window's document begins.

Shape legend: T tokens, R windows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.encoding.text_rows import template_of
from stages.encoding.text_tokens import PIECE, TextTokenizer
from stages.encoding.texts import ANSWERS, NO_SECOND, text_schema
from stages.encoding.windows import cut_texts
from stages.tasks.language_modeling.data.documents import Int64s, TextBlock

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

SPECIAL, BEGIN, WITHIN = 0, 1, 2
SCHEMA = text_schema("labels", ["document"])

Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tokens:
    """The tokens of documents, one after another, with the number of each one's document."""

    ids_T: Int32s
    begins_T: Bools  # whether a word begins with the token
    document_T: Int64s

    def __add__(self, others: "Tokens") -> "Tokens":
        columns = zip(vars(self).values(), vars(others).values(), strict=True)
        return Tokens(*(np.concatenate(pair) for pair in columns))

    def behind(self, start: int) -> "Tokens":
        """The tokens from this place on."""
        return Tokens(*(column[start:] for column in vars(self).values()))


NO_TOKENS = Tokens(np.empty(0, np.int32), np.empty(0, bool), np.empty(0, np.int64))


class WindowEncoder:
    """Encodes documents as windows of at most `length` tokens, special tokens included."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", *, length: int) -> None:
        self.backend = tokenizer.backend_tokenizer
        self.texts = TextTokenizer(tokenizer)
        self.template = template_of(tokenizer, pairs=False)
        self.capacity = length - self.template.size
        self.special_ids = sorted(tokenizer.all_special_ids)
        self.unknown_id = tokenizer.unk_token_id

    def tokenize(self, block: TextBlock, document_P: Int64s) -> Tokens:
        """The tokens of a block; `document_P` numbers the documents of its pieces."""
        found = self.texts.tokenize(block.pieces)
        return Tokens(found.ids, found.levels >= PIECE, np.repeat(document_P, np.diff(found.offsets)))

    def count(self, texts: pa.StringArray) -> tuple[Int64s, Int64s]:
        """The number of tokens of each text, and how many of these are the unknown token."""
        found = self.texts.tokenize(texts)
        unknown = np.append(0, np.cumsum(found.ids == self.unknown_id))
        return np.diff(found.offsets), np.diff(unknown[found.offsets])

    def windows(self, blocks: Iterable[Tokens]) -> Iterator[list["Window"]]:
        """The windows of the documents that lie in blocks one after another, those of each block when it was read.

        The last window of a block waits for the next one, in which its document may go on.
        """
        held = NO_TOKENS
        for block in blocks:
            tokens = held + block
            found = self._cut(tokens)
            held = tokens.behind(len(tokens.ids_T) - (len(found[-1].ids) if found else 0))
            yield found[:-1]
        yield self._cut(held)

    def rows(self, windows: Sequence["Window"], places: Sequence[str], *, first: int) -> pa.RecordBatch:
        """The rows of windows, which are numbered from `first`; `places` are those of their documents."""
        before, _, after = self.template
        none_before, none_after = ([SPECIAL] * len(side) for side in (before, after))
        texts = self.backend.decode_batch([window.ids.tolist() for window in windows], skip_special_tokens=False)
        count = len(windows)
        columns = [
            pa.array([[*before, *window.ids.tolist(), *after] for window in windows], SCHEMA.field("input_ids").type),
            pa.array(np.full(count, NO_SECOND, np.int32)),
            pa.array(np.arange(first, first + count, dtype=np.int32)),
            pa.array(np.zeros(count, np.int32)),
            pa.array(np.ones(count, np.float32)),
            pa.array(texts, pa.string()),
            pa.nulls(count, pa.string()),
            pa.array(places, pa.string()),
            pa.array([[*none_before, *window.marks.tolist(), *none_after] for window in windows], ANSWERS["labels"]),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    def _cut(self, tokens: Tokens) -> list["Window"]:
        if not len(tokens.ids_T):
            return []
        ranges, starts_T = cut_windows(tokens, capacity=self.capacity)
        marks_T = np.where(starts_T, BEGIN, WITHIN).astype(np.int32)
        marks_T[np.isin(tokens.ids_T, self.special_ids)] = SPECIAL
        return [
            Window(int(tokens.document_T[start]), tokens.ids_T[start:end], marks_T[start:end]) for start, end in ranges
        ]


class Window(NamedTuple):
    """A window without its special tokens."""

    document: int
    ids: Int32s
    marks: Int32s

    @property
    def can_be_masked(self) -> bool:
        """Whether it holds a word."""
        return bool((self.marks != SPECIAL).any())


def cut_windows(tokens: Tokens, *, capacity: int) -> tuple[list[tuple[int, int]], Bools]:
    """The windows of at most `capacity` tokens as ranges, one after another, and at which tokens words begin, [T].

    A word that is longer than a window becomes several.
    """
    is_new_T = np.diff(tokens.document_T, prepend=-1) != 0
    starts_T = tokens.begins_T | is_new_T
    firsts = np.flatnonzero(starts_T)
    sizes = np.diff(np.append(firsts, len(starts_T)))
    for start, size in zip(firsts[sizes > capacity], sizes[sizes > capacity], strict=True):
        starts_T[start : start + size : capacity] = True
    firsts = np.append(np.flatnonzero(starts_T), len(starts_T))
    documents = np.searchsorted(firsts, np.append(np.flatnonzero(is_new_T), len(starts_T)))
    found = cut_texts(documents, np.diff(firsts).astype(np.int32), capacity=capacity, overlap=0)
    return list(pairwise([0, *firsts[found.ends].tolist()])), starts_T
