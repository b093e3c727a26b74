"""Find texts that occur again, in their split or in another, and those that contradict each other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.strata import SEPARATOR
from stages.corpus.splits import Int8s
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import UInt64s
from stages.corpus.type_names import format_type
from stages.errors import SHOWN

MANY_REPEATED = 0.5  # share of the texts of a split

Int64s = npt.NDArray[np.int64]


class _Table(NamedTuple):
    """All examples in the order of their digests, equal ones as they were read; M of them."""

    digests: UInt64s  # [M]
    answers: Int64s  # [M] numbers of the answers
    splits: Int8s  # [M]
    places: Int64s  # [M] upper half: number of the source; lower half: line


class Repetition:
    """The texts of a corpus as digests, 25 bytes each, with their places and answers."""

    def __init__(self, splits: Sequence[str]) -> None:
        self.splits = splits
        self._sources: list[str] = []
        self._parts: list[_Table] = []
        self._answers: dict[str, int] = {}  # each set of labels -> its number
        self._has_labels, self._width, self._is_sorted = False, 1, False

    def add(self, block: ExampleBlock, splits_E: Int8s) -> None:
        """Add the examples of a block."""
        if block.names is not None:
            first = len(self._sources)
            self._sources += [f"{block.source}/{name}" for name in block.names.to_pylist()]
            places = (np.arange(len(block), dtype=np.int64) + first) << 32
        else:
            if self._sources[-1:] != [block.source]:
                self._sources.append(block.source)
            places = (len(self._sources) - 1 << 32) + block.lines.astype(np.int64)
        self._is_sorted = False
        self._parts.append(_Table(block.digests, self._number_answers(block), splits_E, places))

    def count_distinct(self) -> int:
        """Count the different texts."""
        return len(np.unique(self._sort().digests))

    def report(self, diagnostics: Diagnostics) -> None:
        """Add warnings for texts that two splits share, or that have different answers, with both places; and notes."""
        table = self._sort()
        if not len(table.digests):
            return
        starts = np.flatnonzero(np.concatenate([[True], table.digests[1:] != table.digests[:-1]]))
        groups = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(table.digests))))
        self._report_shared(table, groups, diagnostics)
        self._report_contradictions(table, starts, groups, diagnostics)
        for number, name in enumerate(self.splits):
            of_split = table.splits == number
            repeated = int(of_split.sum()) - len(np.unique(groups[of_split]))
            if repeated:
                first = of_split[1:] & of_split[:-1] & (table.digests[1:] == table.digests[:-1])
                where = self._format_place(table, int(np.argmax(first)) + 1)
                what = "1 text repeats" if repeated == 1 else f"{repeated:,} texts repeat"
                message = f"{what} an earlier one of {name}, this one among them"
                is_most = repeated > MANY_REPEATED * int(of_split.sum())
                diagnostics.add("warning" if is_most else "note", "repeated", where, message)

    def _report_shared(self, table: _Table, groups: Int64s, diagnostics: Diagnostics) -> None:
        """Report each text that is in two splits, at its first place in the later of them."""
        first_of: list[Int64s] = []  # by split: for each text its first place in the table; -1 where it is not there
        for number in range(len(self.splits)):
            places = np.flatnonzero(table.splits == number)
            first = np.full(groups[-1] + 1, -1, np.int64)
            first[groups[places[::-1]]] = places[::-1]
            first_of.append(first)
        for one, first in enumerate(first_of):
            for other in range(one + 1, len(first_of)):
                shared = np.flatnonzero((first >= 0) & (first_of[other] >= 0))
                here, there = first_of[other][shared], first[shared]
                order = np.argsort(table.places[here], kind="stable")[:SHOWN]
                examples = [
                    (self._format_place(table, here[n]), self._describe_shared(table, int(there[n]), int(here[n])))
                    for n in order.tolist()
                ]
                code = f"in-{self.splits[one]}-and-{self.splits[other]}"
                diagnostics.add_all("warning", code, len(shared), examples)

    def _describe_shared(self, table: _Table, there: int, here: int) -> str:
        differs = ", with another answer" if table.answers[there] != table.answers[here] else ""
        return f"also in {self.splits[table.splits[there]]} at {self._format_place(table, there)}{differs}"

    def _report_contradictions(self, table: _Table, starts: Int64s, groups: Int64s, diagnostics: Diagnostics) -> None:
        """Report each text that occurs again with another answer, in whatever split."""
        seconds = np.flatnonzero(table.answers != table.answers[starts[groups]])
        seconds = seconds[np.unique(groups[seconds], return_index=True)[1]]
        shown = seconds[np.argsort(table.places[seconds], kind="stable")[:SHOWN]].tolist()
        examples = ((self._format_place(table, n), self._describe(table, int(starts[groups[n]]), n)) for n in shown)
        diagnostics.add_all("warning", "contradictions", len(seconds), examples)

    def _describe(self, table: _Table, first: int, second: int) -> str:
        here, there = (self._show_answer(int(table.answers[place])) for place in (second, first))
        return f"the same text is {here} here, and {there} at {self._format_place(table, first)}"

    def _show_answer(self, number: int) -> str:
        if self._has_labels:
            labels = list(self._answers)[number].split(SEPARATOR)
            return ", ".join(map(format_type, labels)) if labels != [""] else "without a label"
        return f"{np.int64(number).view(np.float64):g}" if self._width == 1 else "other numbers"

    def _number_answers(self, block: ExampleBlock) -> Int64s:
        """[E] a number for each answer: the set of labels, or the numbers."""
        if block.labels is None:
            assert block.numbers is not None
            self._width = block.numbers.shape[1]
            numbers_ED: Int64s = block.numbers.view(np.int64)
            if self._width == 1:
                alone: Int64s = numbers_ED[:, 0]
                return alone
            factors_D = np.random.default_rng(0).integers(1 << 62, size=self._width, dtype=np.int64) | 1
            mixed: Int64s = (numbers_ED * factors_D).sum(axis=1)  # wraps around; rows that differ hardly ever agree
            return mixed
        self._has_labels = True
        joined = pc.binary_join(block.labels, SEPARATOR).dictionary_encode()
        known: list[int] = []
        for each in joined.dictionary.to_pylist():
            labels = SEPARATOR.join(sorted(each.split(SEPARATOR)))
            known.append(self._answers.setdefault(labels, len(self._answers)))
        numbers: Int64s = np.array(known, np.int64)[joined.indices.to_numpy()]
        return numbers

    def _sort(self) -> _Table:
        """Sort all examples by digest, equal ones in the order in which they were added."""
        if not self._parts:
            return _Table(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64))
        if len(self._parts) > 1 or not self._is_sorted:
            columns = [np.concatenate(column) for column in zip(*self._parts, strict=True)]
            order = np.argsort(columns[0], kind="stable")
            self._parts, self._is_sorted = [_Table(*(column[order] for column in columns))], True
        return self._parts[0]

    def _format_place(self, table: _Table, number: int) -> str:
        place = int(table.places[number])
        line = place & 0xFFFFFFFF
        return f"{self._sources[place >> 32]}{f':{line}' if line else ''}"
