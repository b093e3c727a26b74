"""Corpora of tagged text as they are compared; see `Comparison` in stages/corpus/parts.py.

A sentence is its words; its tags are compared in IOB2, so that another tag scheme alone is no difference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.parts import ComparedBlock, name_file
from stages.corpus.reading import Corpus, DataParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import TagReader, iob2_tags
from stages.corpus.text.sentences import WORD_SEPARATOR, Block, digests_of


@dataclass(frozen=True)
class ComparedSentences:
    """A corpus of tagged text."""

    corpus: Corpus
    unit: str = "word"
    example: str = "sentence"

    @property
    def place(self) -> Path:
        """The folder or the file of the corpus."""
        return self.corpus.place

    def blocks(self, diagnostics: Diagnostics) -> Iterator[ComparedBlock]:
        """Yield the blocks of all files."""
        reader = TagReader()
        for block, splits_S in self.corpus.blocks(diagnostics):
            tags = tags_of(block, reader)
            answers = digests_of(pc.binary_join(tags, WORD_SEPARATOR).to_pylist())
            yield ComparedBlock(splits_S, block.digests, answers, len(block.words.values), (block, tags))

    def show(self, block: ComparedBlock, number: int) -> dict[str, Any]:
        """Its `words`, its `tags`, and `where` it begins."""
        sentences, tags = block.examples
        line = sentences.lines[sentences.offsets[number]]
        return {
            "words": sentences.words[number].as_py(),
            "tags": tags[number].as_py(),
            "where": f"{name_file(sentences.source, self.place)}:{line}",
        }


def open_compared(params: Mapping[str, Any], task: Mapping[str, Any]) -> ComparedSentences:  # noqa: ARG001 - as of any
    """The corpus that this section of the params names."""
    return ComparedSentences(open_corpus(DataParams.model_validate(params)))


def tags_of(block: Block, reader: TagReader) -> pa.ListArray:
    """[S] the IOB2 tags of each sentence."""
    entities = reader.read(block)
    return pa.ListArray.from_arrays(block.offsets, iob2_tags(entities, list(reader.types)))
