"""Corpora of raw text as they are compared; see `Comparison` in stages/corpus/parts.py."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.corpus.parts import ComparedBlock, name_file
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS, digests_of
from stages.tasks.language_modeling.data.documents import TextBlock
from stages.tasks.language_modeling.data.params import DataParams
from stages.tasks.language_modeling.data.profile import profile_corpus
from stages.tasks.language_modeling.data.raw_corpus import RawCorpus, open_corpus

SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class ComparedText:
    """A corpus of raw text, compared piece by piece: a document that is no longer than a piece is one."""

    corpus: RawCorpus
    unit: str = "piece"
    example: str = "document"

    @property
    def place(self) -> Path:
        """The folder or the file of the corpus."""
        return self.corpus.place

    def blocks(self, diagnostics: Diagnostics) -> Iterator[ComparedBlock]:
        """Yield the blocks of all files."""
        profile = profile_corpus(self.corpus, Diagnostics(), None, window=0, on_block=lambda _: None)
        numbers = np.array([SPLITS.index(split) for split in self.corpus.splits], np.int8)
        for block, document_P, _ in self.corpus.blocks(diagnostics):
            digests = digests_of(block.pieces.to_pylist())
            splits = numbers[profile.split_E[document_P]]
            yield ComparedBlock(splits, digests, np.zeros_like(digests), len(block), block)

    def show(self, block: ComparedBlock, number: int) -> dict[str, Any]:
        """Its `text`, or the beginning of it, and `where` it is."""
        pieces: TextBlock = block.examples
        where = f"{name_file(pieces.source, self.place)}:{pieces.line_P[number]}"
        return {"text": pieces.pieces[number].as_py()[:SHOWN_CHARACTERS], "where": where}


def open_compared(params: Mapping[str, Any], task: Mapping[str, Any]) -> ComparedText:  # noqa: ARG001 - of any task
    """The corpus that these sections of the params name."""
    return ComparedText(open_corpus(DataParams.model_validate(params)))
