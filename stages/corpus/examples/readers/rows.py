"""Rows of a file, whatever its format, become blocks of examples; what is wrong with a row becomes a diagnostic."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.examples.readers.answers import LabelForm, parse_flags, parse_numbers
from stages.corpus.examples.readers.blocks import Bools, ExampleBlock, Float64s
from stages.corpus.examples.readers.columns import Chosen, Columns
from stages.corpus.folder import ALIASES
from stages.corpus.readers.records import format_value
from stages.corpus.readers.tag_names import tag_names
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics
from stages.corpus.text.sentences import check_characters

ROWS = 16_384  # in a block
KNOWN = 100_000  # answers that are remembered with what they mean; bounds the memory
GAP, FAULT = -1, -2  # in place of the number of an answer
# What a row may lack, by code.
GAPS = {"empty-text": "no text", "empty-pair": "no second text", "no-label": "no label", "no-target": "no number"}
NO_SPLIT = "is neither train, dev (valid, validation, val) nor test"


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a file: R values in each column that is read, as Python objects."""

    source: str
    lines: Sequence[int]  # [R]
    columns: Mapping[str, Sequence[Any]]
    splits: Sequence[str] | None = None  # [R] where the file says it
    names: Sequence[str] | None = None  # [R] the file of each row, where each has its own

    def __len__(self) -> int:
        return len(self.lines)


@dataclass
class Width:
    """How many numbers each example of a corpus has, and where the first one is."""

    count: int | None = None
    where: str = ""


@dataclass
class RowReader:
    """Turns the rows of one file into blocks; its `chosen` columns are the same for all of them.

    `names` are those of labels that are numbers; else `features`, those of Hugging Face datasets, name them. All files
    share a `width`.
    """

    columns: Columns
    chosen: Chosen
    features: dict[str, Any]
    names: Sequence[str] | None
    diagnostics: Diagnostics
    width: Width
    _numbers: dict[Any, int] = field(default_factory=dict)  # of known answers
    _answers: list[tuple[Any, ...]] = field(default_factory=list)  # by number
    _messages: dict[Any, tuple[str, str]] = field(default_factory=dict)  # code and message of answers that are faulty

    def read(self, rows: Rows) -> tuple[ExampleBlock, list[str] | None] | None:
        """Return the examples without a fault, each with its split where the file says it; None if there are none."""
        faults: dict[int, list[tuple[str, str]]] = {}
        gaps: dict[int, str] = {}
        texts = self._read_texts(rows.columns[self.chosen.text], "empty-text", faults, gaps)
        pair = self.chosen.pair
        pairs = None if pair is None else self._read_texts(rows.columns[pair], "empty-pair", faults, gaps)
        answers_R = self._read_answers(rows, faults, gaps)
        splits = self._read_splits(rows, faults)
        self._report(rows, faults, gaps)
        usable_R = np.ones(len(rows), bool)
        usable_R[[*faults, *gaps]] = False
        if not usable_R.any():
            return None
        labels, numbers = self._look_up(answers_R, usable_R)
        block = ExampleBlock(
            source=rows.source,
            texts=texts,
            pairs=pairs,
            labels=labels,
            numbers=numbers,
            lines=np.array(rows.lines, np.int32),
            slices={name: _read_slice(rows.columns[name]) for name in self.chosen.slices},
            names=None if rows.names is None else pa.array(rows.names, pa.string()),
            is_symmetric=self.columns.symmetric,
        )
        if usable_R.all():
            return block, splits
        kept = np.flatnonzero(usable_R)
        return block.select(usable_R), splits and [splits[row] for row in kept]

    def _read_texts(
        self, values: Sequence[Any], gap: str, faults: dict[int, list[tuple[str, str]]], gaps: dict[int, str]
    ) -> pa.StringArray:
        try:
            texts = pa.array(values, pa.string())
        except (pa.ArrowException, UnicodeEncodeError):
            sound: list[str | None] = []
            for row, value in enumerate(values):
                try:
                    sound.append(_check_text(value))
                except AnnotationError as error:
                    sound.append("-")
                    faults.setdefault(row, []).append(("record", str(error)))
            texts = pa.array(sound, pa.string())
        texts = pc.utf8_trim_whitespace(texts)
        is_empty = pc.fill_null(pc.equal(texts, ""), True).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(is_empty).tolist():
            gaps.setdefault(row, gap)
        return pc.fill_null(texts, "")

    def _read_answers(
        self, rows: Rows, faults: dict[int, list[tuple[str, str]]], gaps: dict[int, str]
    ) -> np.ndarray[Any, Any]:
        """[R] the number of each row's answer; GAP or FAULT where it has none."""
        if len(self._numbers) > KNOWN:
            self._numbers, self._answers, self._messages = {}, [], {}
        parse, chosen = self._parser(), [rows.columns[name] for name in self.chosen.answers]
        keys = chosen[0] if len(chosen) == 1 else zip(*chosen, strict=True)
        answers = np.empty(len(rows), np.int64)
        for row, value in enumerate(keys):
            key = _make_key(value)
            number = self._numbers.get(key)
            if number is None:
                number = self._learn(key, parse, value, _where(rows, row))
            answers[row] = number
            if number == GAP:
                gaps.setdefault(row, "no-label" if self.columns.wanted == "labels" else "no-target")
            elif number == FAULT:
                faults.setdefault(row, []).append(self._messages[key])
        return answers

    def _learn(self, key: Any, parse: Callable[[Any], tuple[Any, ...] | None], value: Any, where: str) -> int:
        """Return the number of an answer that is new."""
        number = GAP
        try:
            answer = parse(value)
            if answer is not None and self.columns.wanted == "numbers":
                self._check_width(len(answer), where)
        except AnnotationError as error:
            code = "several-labels" if isinstance(error, SeveralLabelsError) else "record"
            self._messages[key] = (code, str(error))
            number = FAULT
        else:
            if answer is not None:
                number = len(self._answers)
                self._answers.append(answer)
        self._numbers[key] = number
        return number

    def _parser(self) -> Callable[[Any], tuple[Any, ...] | None]:
        if self.columns.wanted == "numbers":
            return self._parse_numbers
        names = self.chosen.answers
        if self.chosen.is_spread:
            return lambda values: self._count_labels(parse_flags(names, values if len(names) > 1 else [values]))
        form = LabelForm(
            self.columns.multi_label, self.columns.answers.separator, self.names or tag_names(self.features, names[0])
        )
        return lambda value: self._count_labels(form.parse(value))

    def _count_labels(self, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if labels is None or self.columns.multi_label:
            return labels
        if len(labels) > 1:
            shown = ", ".join(map(repr, labels[:5]))
            raise SeveralLabelsError(
                f"{len(labels)} labels where one is expected: {shown}. If texts may have several, set task.multi_label"
            )
        return labels or None

    def _parse_numbers(self, value: Any) -> tuple[float, ...] | None:
        return parse_numbers(value if len(self.chosen.answers) > 1 else [value])

    def _check_width(self, count: int, where: str) -> None:
        if self.width.count is None:
            self.width.count, self.width.where = count, where
        if count != self.width.count:
            what = "1 number" if count == 1 else f"{count} numbers"
            raise AnnotationError(f"holds {what}, but {self.width.where} holds {self.width.count}")

    def _look_up(self, answers_R: np.ndarray[Any, Any], usable_R: Bools) -> tuple[pa.ListArray | None, Float64s | None]:
        """Return the labels or the numbers of R rows; those of rows that are not usable have no meaning."""
        numbers_R = np.where(usable_R, answers_R, answers_R[np.argmax(usable_R)])
        if self.columns.wanted == "numbers":
            return None, np.array(self._answers, np.float64)[numbers_R]
        distinct, places_R = np.unique(numbers_R, return_inverse=True)
        known = pa.array([list(self._answers[number]) for number in distinct], pa.list_(pa.string()))
        return known.take(pa.array(places_R)), None

    def _read_splits(self, rows: Rows, faults: dict[int, list[tuple[str, str]]]) -> list[str] | None:
        values = rows.splits if self.chosen.split is None else rows.columns[self.chosen.split]
        if values is None:
            return None
        splits = [ALIASES.get(str(value).strip().lower(), "") for value in values]
        for row, split in enumerate(splits):
            if not split:
                faults.setdefault(row, []).append(("split", f"{format_value(values[row])} {NO_SPLIT}"))
        return splits

    def _report(self, rows: Rows, faults: dict[int, list[tuple[str, str]]], gaps: dict[int, str]) -> None:
        """Add all faults of these rows; gaps do not count as faulty, since leaving them out hides nothing."""
        by_code: dict[str, list[tuple[str, str]]] = {}
        for row, found in sorted(faults.items()):
            for code, message in found:
                by_code.setdefault(code, []).append((_where(rows, row), message))
        for code, examples in by_code.items():
            self.diagnostics.add_all("error", code, len(examples), examples, faulty=0)
        self.diagnostics.faulty += len(faults)
        for code, message in GAPS.items():
            places = [row for row, what in sorted(gaps.items()) if what == code and row not in faults]
            self.diagnostics.add_all("error", code, len(places), _show_gaps(rows, places, message), faulty=0)


class SeveralLabelsError(AnnotationError):
    """An example has several labels where one is expected."""


def _show_gaps(rows: Rows, places: Sequence[int], message: str) -> Iterator[tuple[str, str]]:
    for row in places:
        yield _where(rows, row), f"has {message}"


def _where(rows: Rows, row: int) -> str:
    return f"{rows.source}:{rows.lines[row]}" if rows.names is None else f"{rows.source}/{rows.names[row]}"


def _make_key(value: Any) -> Any:
    """Return what a value can be remembered by: 1, 1.0 and True are equal, but not the same label."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return value
    return (type(value), format_key(value))


def format_key(value: Any) -> str:
    """Return the whole value as a string, or its beginning if it is nested too deep."""
    try:
        return repr(value)
    except RecursionError:
        return format_value(value)


def _check_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        check_characters([value or ""])
        return value
    if isinstance(value, float) and math.isnan(value):  # how pandas keeps a gap
        return None
    raise AnnotationError(f"its text must be a string, not {format_value(value)}. Is data.text the right column?")


def _read_slice(values: Sequence[Any]) -> pa.DictionaryArray:
    texts = ["" if value is None else value if isinstance(value, str) else str(value) for value in values]
    try:
        return pa.array(texts, pa.string()).dictionary_encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no name of a slice needs
        return pa.array([text.encode(errors="replace").decode() for text in texts], pa.string()).dictionary_encode()
