"""Documents across sentences and blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from stages.corpus.text.sentences import NO_DOCUMENT, Block, concatenate

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


def group_documents(blocks: Iterable[tuple[Block, Any]]) -> Iterator[tuple[Block, Any]]:
    """Regroup blocks so that none ends within a document.

    Each block comes with an array that has an item for each of its sentences. A document of over LONGEST words is cut.
    """
    pending: tuple[Block, Any] | None = None
    for block, items in blocks:
        if pending is not None and pending[0].source == block.source:
            merged = concatenate(pending[0], block), np.concatenate([pending[1], items])
        else:
            yield from [pending] if pending else []
            merged = block, items
        documents = merged[0].documents
        earlier = np.flatnonzero(documents != documents[-1])
        end = earlier[-1] + 1 if len(earlier) else 0  # the last document starts here
        if documents[-1] == NO_DOCUMENT or len(merged[0].words.values) > LONGEST:
            end = len(documents)
        if end:
            yield merged[0].slice(0, end), merged[1][:end]
        pending = (merged[0].slice(end, len(documents)), merged[1][end:]) if end < len(documents) else None
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
