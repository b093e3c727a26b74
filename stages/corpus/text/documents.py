"""Documents across sentences and blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.text.sentences import NO_DOCUMENT, Block, Int32s, UInt64s, concatenate, digest_sentences

Context = Literal["sentence", "document"]  # what is cut into windows as one text

DOCUMENT_START = "-DOCSTART-"
LONGEST = 200_000  # words; a longer document is cut here to bound memory


@dataclass
class DocumentNumbers:
    """Numbers documents that sentences name: a name other than the one before starts another document."""

    last_name: Any = None
    last_number: int = NO_DOCUMENT

    def assign(self, names: Sequence[Any]) -> list[int]:
        """Return the document number of each sentence."""
        numbers = []
        for name in names:
            self.last_number += self.last_number == NO_DOCUMENT or name != self.last_name
            self.last_name = name
            numbers.append(self.last_number)
        return numbers


@dataclass
class DocumentCounter:
    """Numbers the documents of a corpus, whose blocks number those of each file."""

    source: str = ""
    before: int = 0  # the number of the first document of this file
    after: int = 0  # the next free number

    def count(self, block: Block) -> Int32s:
        """[S] the number of each sentence's document within the corpus; NO_DOCUMENT for none."""
        if block.source != self.source:
            self.source, self.before = block.source, self.after
        numbers = np.where(block.documents == NO_DOCUMENT, NO_DOCUMENT, block.documents + self.before)
        self.after = max(self.after, int(numbers.max()) + 1)
        return numbers.astype(np.int32)


def document_starts(documents: Int32s) -> npt.NDArray[np.int64]:
    """The first sentence of each document, by the document of each sentence; one of no document stands by itself."""
    return np.flatnonzero((np.diff(documents, prepend=NO_DOCUMENT) != 0) | (documents == NO_DOCUMENT))


def digest_documents(block: Block) -> UInt64s:
    """[S] a 64-bit hash of the words of each sentence's document, of which the block holds all sentences."""
    firsts = document_starts(block.documents)
    bounds = np.append(firsts, len(block))
    words = pa.ListArray.from_arrays(block.offsets[bounds], block.words.values)
    return np.repeat(digest_sentences(words), np.diff(bounds))


def group_documents(blocks: Iterable[Block]) -> Iterator[Block]:
    """Regroup the blocks of a file so that none ends within a document; one of over LONGEST words is cut."""
    pending: Block | None = None
    for block in blocks:
        merged = concatenate(pending, block) if pending else block
        # The last document may go on in the next block.
        end = int(document_starts(merged.documents)[-1])
        if merged.documents[-1] == NO_DOCUMENT or len(merged.words.values) > LONGEST:
            end = len(merged)
        if end:
            yield merged.slice(0, end)
        pending = merged.slice(end, len(merged)) if end < len(merged) else None
    if pending:
        yield pending


def apply_document_marks(blocks: Iterable[Block]) -> Iterator[Block]:
    """Remove sentences that are a single `-DOCSTART-` from the blocks of one file; each starts a document.

    Conversions of CoNLL to JSON or Parquet contain them.
    """
    started = 0
    for block in blocks:
        is_mark = pc.starts_with(pc.list_element(block.words, 0), DOCUMENT_START).to_numpy(zero_copy_only=False)
        is_mark &= np.diff(block.offsets) == 1
        if not is_mark.any() and not started:
            yield block
            continue
        documents = started + np.cumsum(is_mark)
        started = int(documents[-1])
        numbered = replace(block, documents=(documents - 1).astype(np.int32))
        if not is_mark.all():
            yield numbered.select(~is_mark)
