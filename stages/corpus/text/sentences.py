"""Annotated text in memory: blocks of sentences, as Arrow columns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.text.diagnostics import AnnotationError

SPLITS = ("train", "dev", "test")
OUTSIDE = "O"
NO_DOCUMENT = -1
BLOCK_WORDS = 100_000  # a reader yields a block when it has as many
WORD_SEPARATOR = "\x1f"  # the unit separator of ASCII; readers refuse words that contain it

Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]


class Sentence(NamedTuple):
    """One sentence as Python objects, and the line or row of its file where it begins, from 1."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Block:
    """Consecutive sentences of one file: S sentences of at least one word each, W words in total."""

    source: str  # the file, as the user named it
    words: pa.ListArray  # [S] of strings
    tags: pa.DictionaryArray  # [W]
    lines: Int32s  # [W] the line or row of the file of each word, from 1
    documents: Int32s  # [S] number of the document within the file; NO_DOCUMENT where the file marks none
    incomplete: npt.NDArray[np.bool_] | None = (
        None  # [S] whether the reader left out a part, and added an error; or none
    )

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def offsets(self) -> Int32s:
        """[S + 1] the index of the first word of each sentence."""
        offsets: Int32s = self.words.offsets.to_numpy()
        assert offsets[0] == 0
        return offsets

    @cached_property
    def distinct(self) -> pa.DictionaryArray:
        """[W] the words, dictionary-encoded."""
        return self.words.values.dictionary_encode()

    @cached_property
    def digests(self) -> UInt64s:
        """[S] a 64-bit hash of the words of each sentence, stable across processes and versions."""
        return digest_sentences(self.words)

    def where(self, word: SupportsIndex) -> str:
        """Format the place of a word as `file:line`."""
        return f"{self.source}:{self.lines[word]}"

    def text(self, sentence: SupportsIndex) -> str:
        """Join the words of a sentence with blanks."""
        return " ".join(self.words[int(sentence)].as_py())

    def slice(self, start: int, end: int) -> "Block":
        """Return the sentences [start, end)."""
        first, last = int(self.offsets[start]), int(self.offsets[end])
        words = pa.ListArray.from_arrays(self.offsets[start : end + 1] - first, self.words.values[first:last])
        return Block(self.source, words, self.tags[first:last], self.lines[first:last], self.documents[start:end])

    def select(self, chosen_S: npt.NDArray[np.bool_]) -> "Block":
        """Return the chosen sentences."""
        chosen_W = np.repeat(chosen_S, np.diff(self.offsets))
        return Block(
            self.source,
            self.words.filter(pa.array(chosen_S)),
            self.tags.filter(pa.array(chosen_W)).cast(pa.string()).dictionary_encode(),
            self.lines[chosen_W],
            self.documents[chosen_S],
            None if self.incomplete is None else self.incomplete[chosen_S],
        )

    def sentences(self) -> Iterator[Sentence]:
        """Yield the sentences as Python objects; for small blocks."""
        tags = self.tags.to_pylist()
        for words, start, end in zip(self.words.to_pylist(), self.offsets[:-1], self.offsets[1:], strict=True):
            yield Sentence(tuple(words), tuple(tags[start:end]), int(self.lines[start]))


def digest_sentences(words: pa.ListArray) -> UInt64s:
    """[S] a 64-bit hash of the words of each sentence."""
    return digests_of(pc.binary_join(words, WORD_SEPARATOR).to_pylist())


def digests_of(texts: Iterable[str]) -> UInt64s:
    """Hash each text to 64 bits, stable across processes and versions."""
    packed = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(packed, ">u8").astype(np.uint64)


def check_characters(texts: Iterable[str]) -> None:
    """Raise AnnotationError if a string has a lone surrogate, such as the escape \\ud83d: UTF-8 cannot encode it."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise AnnotationError(f"holds {half!a}, half of a surrogate pair, which is not a character") from None


@dataclass
class BlockBuilder:
    """Builds a block from one sentence after another."""

    sentences: list[list[str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)

    def add(self, words: list[str], tags: list[str], line: int, document: int = NO_DOCUMENT) -> None:
        """Add a sentence of at least one word, the line where it begins, and its document."""
        self.sentences.append(words)
        self.tags += tags
        self.lines.append(line)
        self.documents.append(document)

    @property
    def word_count(self) -> int:
        """Number of words so far."""
        return len(self.tags)

    def build(self, source: str) -> Block:
        """Return the block of all sentences so far."""
        counts = [len(sentence) for sentence in self.sentences]
        return Block(
            source=source,
            words=pa.array(self.sentences, pa.list_(pa.string())),
            tags=pa.array(self.tags, pa.string()).dictionary_encode(),
            lines=np.repeat(np.array(self.lines, np.int32), counts),
            documents=np.array(self.documents, np.int32),
        )


def concatenate(first: Block, second: Block) -> Block:
    """Join two consecutive blocks of a file."""
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    tags = pa.concat_arrays([first.tags.cast(pa.string()), second.tags.cast(pa.string())])
    return Block(
        first.source,
        pa.ListArray.from_arrays(offsets, pa.concat_arrays([first.words.values, second.words.values])),
        tags.dictionary_encode(),
        np.concatenate([first.lines, second.lines]),
        np.concatenate([first.documents, second.documents]),
    )
