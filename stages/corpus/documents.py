"""Blocks that do not end in the middle of a document, for what looks at neighbouring sentences."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from stages.corpus.sentences import NO_DOCUMENT, Block, joined

LONGEST = 200_000  # words; a document that is longer is cut here, or memory would grow with it


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
