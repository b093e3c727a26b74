"""The figures of a corpus of labelled texts, by split."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.examples.readers.blocks import ExampleBlock, Float64s
from stages.corpus.readers.columns import AUTO
from stages.corpus.text.sentences import Int32s

UNNAMED = "target"  # where the column is found by its usual names, which may differ from file to file
LONGEST = 1 << 16  # tokens; shares of texts that are longer are not told apart


@dataclass
class NumberProfile:
    """The numbers of one column: count, mean and extremes, and whether they differ at all."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared differences from the mean
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, numbers_E: Float64s) -> None:
        """Add numbers; mean and squares as Chan, Golub and LeVeque (1983) combine them."""
        if not len(numbers_E):
            return
        count, mean = len(numbers_E), float(numbers_E.mean())
        squares, shift = float(((numbers_E - mean) ** 2).sum()), mean - self.mean
        total = self.count + count
        self.squares += squares + shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count = total
        self.low, self.high = min(self.low, float(numbers_E.min())), max(self.high, float(numbers_E.max()))

    def to_json(self) -> dict[str, float]:
        """Return mean, standard deviation and extremes."""
        deviation = (self.squares / self.count) ** 0.5 if self.count else 0.0
        return {"mean": self.mean, "deviation": deviation, "min": self.low, "max": self.high}


@dataclass
class ExampleSplit:
    """What one split contains."""

    examples: int = 0
    characters: int = 0
    labels: Counter[str] = field(default_factory=Counter)  # examples of each
    label_counts: Counter[int] = field(default_factory=Counter)  # examples by how many labels they have
    numbers: list[NumberProfile] = field(default_factory=list)  # by column
    slices: dict[str, Counter[str]] = field(default_factory=dict)  # by column: examples of each value
    lengths: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(LONGEST + 1, np.int64)
    )  # by tokens: examples
    longest: int = 0  # tokens
    tokens: int = 0
    unknown_tokens: int = 0
    dropped: int = 0  # examples that were left out; what would have been cut from train counts there

    def add(self, block: ExampleBlock, tokens_E: Int32s | None, unknown_E: Int32s | None) -> None:
        """Count the examples of a block."""
        self.examples += len(block)
        self.characters += int(pc.sum(pc.utf8_length(block.texts)).as_py())
        if block.labels is not None:
            for value, count in zip(*_count(block.labels.flatten()), strict=True):
                self.labels[value] += count
            self.label_counts.update(pc.list_value_length(block.labels).to_pylist())
        if block.numbers is not None:
            self.numbers = self.numbers or [NumberProfile() for _ in range(block.numbers.shape[1])]
            for profile, numbers_E in zip(self.numbers, block.numbers.T, strict=True):
                profile.add(numbers_E)
        for name, column in block.slices.items():
            known = self.slices.setdefault(name, Counter())
            for value, count in zip(*_count(column.cast(pa.string())), strict=True):
                known[value] += count
        if tokens_E is not None and unknown_E is not None:
            self.lengths += np.bincount(np.minimum(tokens_E, LONGEST), minlength=LONGEST + 1)
            self.longest = max(self.longest, int(tokens_E.max(initial=0)))
            self.tokens += int(tokens_E.sum())
            self.unknown_tokens += int(unknown_E.sum())

    def length_at(self, share: float) -> int:
        """Return the number of tokens that this share of examples does not exceed."""
        return int(np.searchsorted(np.cumsum(self.lengths), share * self.examples))

    def longer_than(self, tokens: int) -> int:
        """Count the examples with more tokens."""
        return int(self.lengths[tokens + 1 :].sum())


@dataclass
class ExampleProfile:
    """What a corpus contains by split."""

    splits: dict[str, ExampleSplit]
    has_tokens: bool  # whether tokens were counted
    targets: int | str | tuple[int | str, ...] | None  # the columns of numbers; none of labels

    @property
    def labels(self) -> list[str]:
        """All labels, sorted."""
        return sorted({label for split in self.splits.values() for label in split.labels})

    @property
    def target_names(self) -> list[str]:
        """The names of the numbers of an example."""
        assert self.targets is not None
        counts = [len(split.numbers) for split in self.splits.values() if split.numbers]
        return name_targets(self.targets, max(counts, default=1))

    def to_json(self, *, window: int | None) -> dict[str, Any]:
        """Return the figures for JSON output; `window` is how many tokens a window holds, if they were counted."""
        return {
            **({"labels": self.labels} if self.targets is None else {"targets": self.target_names}),
            "window": window,
            "splits": {name: self._split_to_json(split, window) for name, split in self.splits.items()},
        }

    def _split_to_json(self, split: ExampleSplit, window: int | None) -> dict[str, Any]:
        figures: dict[str, Any] = {"examples": split.examples, "characters": split.characters}
        if split.label_counts:
            figures["labels"] = dict(sorted(split.labels.items()))
            figures["labels_per_example"] = dict(sorted(split.label_counts.items()))
        if split.numbers:
            figures["numbers"] = [numbers.to_json() for numbers in split.numbers]
        if split.slices:
            figures["slices"] = {name: dict(counts.most_common()) for name, counts in split.slices.items()}
        if window is not None and self.has_tokens:
            shares = (("median", 0.5), ("p90", 0.9), ("p99", 0.99))
            figures["tokens"] = {key: split.length_at(share) for key, share in shares} | {"max": split.longest}
            figures["longer_than_window"] = split.longer_than(window)
            figures["unknown_tokens"] = split.unknown_tokens
        if split.dropped:
            figures["dropped"] = split.dropped
        return figures


def name_targets(columns: int | str | tuple[int | str, ...], count: int) -> list[str]:
    """Return the names of `count` numbers: those of their columns, or that of the one column that holds all of them."""
    if isinstance(columns, tuple):
        return [str(column) for column in columns]
    name = UNNAMED if columns == AUTO else str(columns)
    return [name] if count == 1 else [f"{name} {number}" for number in range(1, count + 1)]


def _count(values: pa.StringArray) -> tuple[list[str], list[int]]:
    counts = values.value_counts()
    return counts.field("values").to_pylist(), counts.field("counts").to_pylist()
