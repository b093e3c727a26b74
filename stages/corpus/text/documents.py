"""Documents across sentences and blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from stages.corpus.text.sentences import NO_DOCUMENT, Block, joined

DOCUMENT_START = "-DOCSTART-"
LONGEST = 200_000  # words; a document that is longer is cut here, or memory would grow with it


@dataclass
class Documents:
    """Numbers documents that sentences name: another name than the one before is another document."""

    last: Any = None
    number: int = NO_DOCUMENT

    def numbered(self, names: Sequence[Any]) -> list[int]:
        """The number of the document of each sentence."""
        numbers = []
        for name in names:
            self.number += self.number == NO_DOCUMENT or name != self.last
            self.last = name
            numbers.append(self.number)
        return numbers


def in_whole_documents(blocks: Iterable[tuple[Block, Any]]) -> Iterator[tuple[Block, Any]]:
    """The same sentences, each with its item of the array beside its block, in blocks of whole documents."""
    held: tuple[Block, Any] | None = None
    for block, beside in blocks:
        if held is not None and held[0].source == block.source:
            whole = joined(held[0], block), np.concatenate([held[1], beside])
        else:
            yield from [held] if held else []
            whole = block, beside
        documents = whole[0].documents
        begun = np.flatnonzero(documents != documents[-1])
        end = begun[-1] + 1 if len(begun) else 0  # the last document starts here
        if documents[-1] == NO_DOCUMENT or len(whole[0].words.values) > LONGEST:
            end = len(documents)
        if end:
            yield whole[0].slice(0, end), whole[1][:end]
        held = (whole[0].slice(end, len(documents)), whole[1][end:]) if end < len(documents) else None
    if held:
        yield held


def documents_by_mark(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks of one file without sentences that are a mark alone, each of which begins a document.

    Conversions of CoNLL to JSON or Parquet have them.
    """
    begun = 0
    for block in blocks:
        marks = pc.starts_with(pc.list_element(block.words, 0), DOCUMENT_START).to_numpy(zero_copy_only=False)
        marks &= np.diff(block.offsets) == 1
        if not marks.any() and not begun:
            yield block
            continue
        documents = begun + np.cumsum(marks)
        begun = int(documents[-1])
        marked = replace(block, documents=(documents - 1).astype(np.int32))
        if not marks.all():
            yield marked.only(~marks)
