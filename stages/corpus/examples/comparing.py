"""Labelled texts as two corpora of them are compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.corpus.examples.figures import name_targets
from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.reading import ExampleCorpus
from stages.corpus.parts import ComparedBlock, name_file
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS, UInt64s, digests_of

SEPARATOR = "\x1f"  # between the labels of an example, where they are hashed


@dataclass(frozen=True)
class ComparedExamples:
    """A corpus of labelled texts; a text is the same if its second text is, too, and several labels in any order."""

    corpus: ExampleCorpus
    unit: str = "text"
    example: str = "text"

    @property
    def place(self) -> Path:
        """The folder or the file of the corpus."""
        return self.corpus.place

    def blocks(self, diagnostics: Diagnostics) -> Iterator[ComparedBlock]:
        """Yield the blocks of all files."""
        numbers = np.array([SPLITS.index(split) for split in self.corpus.splits], np.int8)
        for block, splits_E in self.corpus.blocks(diagnostics):
            yield ComparedBlock(numbers[splits_E], block.digests, _digest_answers(block), len(block), block)

    def show(self, block: ComparedBlock, number: int) -> dict[str, Any]:
        """Its `text`, its `pair` if there are pairs, its `labels` or `targets`, and `where` it is."""
        examples: ExampleBlock = block.examples
        shown: dict[str, Any] = {"text": examples.texts[number].as_py()}
        if examples.pairs is not None:
            shown["pair"] = examples.pairs[number].as_py()
        if examples.labels is not None:
            shown["labels"] = sorted(examples.labels[number].as_py())
        if examples.numbers is not None:
            names = name_targets(self.corpus.params.answers.columns, examples.numbers.shape[1])
            shown["targets"] = dict(zip(names, examples.numbers[number].tolist(), strict=True))
        if examples.names is None:
            return shown | {"where": f"{name_file(examples.source, self.place)}:{examples.lines[number]}"}
        return shown | {"where": name_file(examples.where(number), self.place)}


def _digest_answers(block: ExampleBlock) -> UInt64s:
    if block.labels is not None:
        return digests_of([SEPARATOR.join(sorted(labels)) for labels in block.labels.to_pylist()])
    assert block.numbers is not None
    return digests_of([SEPARATOR.join(map(repr, numbers)) for numbers in block.numbers.tolist()])
