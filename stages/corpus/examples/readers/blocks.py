"""Labelled texts in memory: blocks of examples, as Arrow columns."""

from dataclasses import dataclass
from functools import cached_property
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.text.sentences import Int32s, UInt64s, digests_of

PAIR_SEPARATOR = "\x1f"  # between the two texts of a pair, where both are hashed as one
SHOWN_CHARACTERS = 80

Bools = npt.NDArray[np.bool_]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ExampleBlock:
    """Consecutive examples of one file: E texts, none of them empty, without white space at their edges."""

    source: str  # the file, as the user named it; the folder where each text is a file of its own
    texts: pa.StringArray  # [E]
    pairs: pa.StringArray | None  # [E] the second texts
    labels: pa.ListArray | None  # [E] of strings; one label is a list of length 1
    numbers: Float64s | None  # [E, D] finite
    lines: Int32s  # [E] the line or row of the file where each begins, from 1
    slices: dict[str, pa.DictionaryArray]  # by column: [E] strings, empty where the file has none
    names: pa.StringArray | None = None  # [E] the file of each text within `source`, where each has its own
    is_symmetric: bool = False  # whether two texts are the same pair in either order

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def digests(self) -> UInt64s:
        """[E] a 64-bit hash of each text, with its second text, stable across processes and versions."""
        if self.pairs is None:
            return digests_of(self.texts.to_pylist())
        first, second = self.texts, self.pairs
        if self.is_symmetric:
            is_sorted = pc.less_equal(first, second)
            first, second = pc.if_else(is_sorted, first, second), pc.if_else(is_sorted, second, first)
        return digests_of(pc.binary_join_element_wise(first, second, PAIR_SEPARATOR).to_pylist())

    def where(self, example: SupportsIndex) -> str:
        """Format the place of an example as `file:line`, or as its file."""
        if self.names is not None:
            return f"{self.source}/{self.names[int(example)]}"
        return f"{self.source}:{self.lines[example]}"

    def show(self, example: SupportsIndex) -> str:
        """Return the beginning of a text for a message."""
        text: str = self.texts[int(example)].as_py()
        return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")

    def select(self, chosen_E: Bools) -> "ExampleBlock":
        """Return the chosen examples."""
        mask = pa.array(chosen_E)
        return ExampleBlock(
            source=self.source,
            texts=self.texts.filter(mask),
            pairs=None if self.pairs is None else self.pairs.filter(mask),
            labels=None if self.labels is None else self.labels.filter(mask),
            numbers=None if self.numbers is None else self.numbers[chosen_E],
            lines=self.lines[chosen_E],
            slices={name: column.filter(mask) for name, column in self.slices.items()},
            names=None if self.names is None else self.names.filter(mask),
            is_symmetric=self.is_symmetric,
        )
