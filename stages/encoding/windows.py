"""Words to sub-words, and long sentences to overlapping windows, so that no word is dropped.

Every word of a sentence is owned by exactly one window: the one that shows it the most context on its poorer side.
Only there does its first sub-word carry a label.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerFast

IGNORED = -100  # the label that torch's cross entropy skips by default
NO_WORD = -1

Row = dict[str, Any]


class Span(NamedTuple):
    """A window over the words [start, end) of a sentence; it owns the words [owned_start, owned_end)."""

    start: int
    end: int
    owned_start: int
    owned_end: int


class Frame(NamedTuple):
    """Ids of the special tokens before and after the content: `[CLS]` and `[SEP]` in BERT."""

    before: list[int]
    after: list[int]


class Window(NamedTuple):
    """One model input. `word_index` has the number of a word on the first sub-word of each owned word, else -1."""

    input_ids: list[int]
    word_index: list[int]


def encoded_rows(
    tokenizer: PreTrainedTokenizerFast,
    sentences: Sequence[Sequence[str]],
    label_ids: Sequence[Sequence[int]],
    *,
    length: int,
    overlap: int,
) -> list[Row]:
    """The rows of a split, a row for each window of each sentence (columns: stages/encoding/files.py)."""
    special_tokens = frame(tokenizer)
    rows: list[Row] = []
    for number, (words, ids, pieces) in enumerate(
        zip(sentences, label_ids, subwords(tokenizer, sentences), strict=True)
    ):
        for index, window in enumerate(windows(pieces, special_tokens, length=length, overlap=overlap)):
            rows.append(
                {
                    "input_ids": window.input_ids,
                    "labels": [IGNORED if word == NO_WORD else ids[word] for word in window.word_index],
                    "word_index": window.word_index,
                    "sentence": number,
                    "window": index,
                    "words": list(words) if index == 0 else None,
                }
            )
    return rows


def subwords(tokenizer: PreTrainedTokenizerFast, sentences: Sequence[Sequence[str]]) -> Iterator[list[list[int]]]:
    """The sub-word ids of each word of each sentence; a word that maps to nothing becomes the unknown token."""
    encodings = tokenizer.backend_tokenizer.encode_batch(
        [list(words) for words in sentences], is_pretokenized=True, add_special_tokens=False
    )
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    for words, encoding in zip(sentences, encodings, strict=True):
        pieces: list[list[int]] = [[] for _ in words]
        for word, token in zip(encoding.word_ids, encoding.ids, strict=True):
            assert word is not None  # only special tokens belong to no word
            pieces[word].append(token)
        yield [piece or [unknown] for piece in pieces]


def frame(tokenizer: PreTrainedTokenizerFast) -> Frame:
    """The special tokens that this tokenizer puts around one sequence."""
    encoding = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
    content = [position for position, special in enumerate(encoding.special_tokens_mask) if not special]
    return Frame(encoding.ids[: content[0]], encoding.ids[content[-1] + 1 :])


def windows(pieces: Sequence[Sequence[int]], frame: Frame, *, length: int, overlap: int) -> Iterator[Window]:
    """The windows of one sentence: at most `length` sub-words each, special tokens included.

    A word of more sub-words than a whole window holds is cut to what fits; it keeps its label.
    """
    capacity = length - len(frame.before) - len(frame.after)
    pieces = [piece[:capacity] for piece in pieces]
    for span in spans([len(piece) for piece in pieces], capacity=capacity, overlap=overlap):
        input_ids = list(frame.before)
        word_index = [NO_WORD] * len(frame.before)
        for word in range(span.start, span.end):
            owned = span.owned_start <= word < span.owned_end
            input_ids += pieces[word]
            word_index += [word if owned else NO_WORD, *[NO_WORD] * (len(pieces[word]) - 1)]
        yield Window(input_ids + frame.after, word_index + [NO_WORD] * len(frame.after))


def spans(lengths: Sequence[int], *, capacity: int, overlap: int) -> list[Span]:
    """Cover words of the given sub-word `lengths` (each at most `capacity`) with windows of at most `capacity`.

    Neighbouring windows share up to `overlap` sub-words, in whole words. Raises nothing: any lengths can be covered.
    """
    bounds = list(_bounds(lengths, capacity=capacity, overlap=overlap))
    positions = [0]
    for size in lengths:
        positions.append(positions[-1] + size)
    # A word in the overlap of two windows has its poorer side to the left in the later one, to the right in the
    # earlier one; the two are equal in the middle of the overlap.
    owners = [0]
    for (_, end), (start, _) in pairwise(bounds):
        middle = (positions[start] + positions[end]) / 2
        owners.append(next(word for word in range(start, end + 1) if positions[word] >= middle))
    owners.append(len(lengths))
    return [
        Span(start, end, owned_start, owned_end)
        for (start, end), (owned_start, owned_end) in zip(bounds, pairwise(owners), strict=True)
    ]


def _bounds(lengths: Sequence[int], *, capacity: int, overlap: int) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        end, used = start, 0
        while end < len(lengths) and used + lengths[end] <= capacity:
            used += lengths[end]
            end += 1
        yield start, end
        if end == len(lengths):
            return
        next_start, shared = end, 0
        # start + 1: the next window must begin later, whatever the overlap.
        while next_start > start + 1 and shared + lengths[next_start - 1] <= overlap:
            next_start -= 1
            shared += lengths[next_start]
        start = next_start
