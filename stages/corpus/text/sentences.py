"""The one internal form of annotated text: sentences by the block, as Arrow columns."""

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
BLOCK_WORDS = 100_000  # after which a builder's block is handed on
WORD_SEPARATOR = "\x1f"  # the control character for it; in no word that a reader lets through

Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]


class Sentence(NamedTuple):
    """One sentence in Python's own types, and the 1-based line or row where it begins in its file."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Block:
    """Neighbouring sentences of one file: S sentences of at least one word each, W words in all."""

    source: str  # the file, as the user named it
    words: pa.ListArray  # [S] of strings
    tags: pa.DictionaryArray  # [W]
    lines: Int32s  # [W] the line or row of the file, from 1, where a word stands
    documents: Int32s  # [S] number of its document in the file; NO_DOCUMENT where the file does not say

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def offsets(self) -> Int32s:
        """[S + 1] where each sentence begins among the words."""
        offsets: Int32s = self.words.offsets.to_numpy()
        assert offsets[0] == 0
        return offsets

    @cached_property
    def distinct(self) -> pa.DictionaryArray:
        """[W] the words, each distinct one held once."""
        return self.words.values.dictionary_encode()

    @cached_property
    def digests(self) -> UInt64s:
        """[S] a hash of each sentence's words, the same in each process and version."""
        return digests_of(pc.binary_join(self.words, WORD_SEPARATOR).to_pylist())

    def where(self, word: SupportsIndex) -> str:
        """`file:line` of a word."""
        return f"{self.source}:{self.lines[word]}"

    def text(self, sentence: SupportsIndex) -> str:
        """The words of a sentence with blanks between them."""
        return " ".join(self.words[int(sentence)].as_py())

    def slice(self, start: int, end: int) -> "Block":
        """The sentences [start, end)."""
        first, last = int(self.offsets[start]), int(self.offsets[end])
        words = pa.ListArray.from_arrays(self.offsets[start : end + 1] - first, self.words.values[first:last])
        return Block(self.source, words, self.tags[first:last], self.lines[first:last], self.documents[start:end])

    def only(self, chosen_S: npt.NDArray[np.bool_]) -> "Block":
        """The chosen sentences."""
        chosen_W = np.repeat(chosen_S, np.diff(self.offsets))
        return Block(
            self.source,
            self.words.filter(pa.array(chosen_S)),
            self.tags.filter(pa.array(chosen_W)).cast(pa.string()).dictionary_encode(),
            self.lines[chosen_W],
            self.documents[chosen_S],
        )

    def sentences(self) -> Iterator[Sentence]:
        """The same in Python's own types, for where there are few."""
        tags = self.tags.to_pylist()
        for words, start, end in zip(self.words.to_pylist(), self.offsets[:-1], self.offsets[1:], strict=True):
            yield Sentence(tuple(words), tuple(tags[start:end]), int(self.lines[start]))


def digests_of(texts: Iterable[str]) -> UInt64s:
    """A 64-bit hash of each text, the same in each process and version."""
    packed = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(packed, ">u8").astype(np.uint64)


def check_characters(texts: Iterable[str]) -> None:
    """AnnotationError if a string holds half of a surrogate pair, as the escape \\ud83d alone makes: UTF-8 has none."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise AnnotationError(f"holds {half!a}, half of a surrogate pair, which is no character") from None


@dataclass
class BlockBuilder:
    """A block in the making, for readers that meet one sentence after another."""

    sentences: list[list[str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)

    def add(self, words: list[str], tags: list[str], line: int, document: int = NO_DOCUMENT) -> None:
        """One sentence of at least one word, the line where it begins, and its document."""
        self.sentences.append(words)
        self.tags += tags
        self.lines.append(line)
        self.documents.append(document)

    @property
    def words(self) -> int:
        """How many there are so far."""
        return len(self.tags)

    def block(self, source: str) -> Block:
        """All sentences so far."""
        counts = [len(sentence) for sentence in self.sentences]
        return Block(
            source=source,
            words=pa.array(self.sentences, pa.list_(pa.string())),
            tags=pa.array(self.tags, pa.string()).dictionary_encode(),
            lines=np.repeat(np.array(self.lines, np.int32), counts),
            documents=np.array(self.documents, np.int32),
        )


def joined(first: Block, second: Block) -> Block:
    """Two neighbouring blocks of a file as one."""
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    tags = pa.concat_arrays([first.tags.cast(pa.string()), second.tags.cast(pa.string())])
    return Block(
        first.source,
        pa.ListArray.from_arrays(offsets, pa.concat_arrays([first.words.values, second.words.values])),
        tags.dictionary_encode(),
        np.concatenate([first.lines, second.lines]),
        np.concatenate([first.documents, second.documents]),
    )
