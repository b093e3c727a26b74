"""Labels and numbers as cells, fields and exports write them."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stages.corpus.readers.list_cells import is_list, parse_list
from stages.corpus.readers.records import format_value
from stages.corpus.readers.tag_names import DATASET_INFO
from stages.corpus.text.diagnostics import AnnotationError
from stages.corpus.text.sentences import check_characters

CHOICES = "choices"  # of Label Studio, in its JSON-MIN and CSV exports too
UNLABELLED = -1  # in datasets of Hugging Face whose test answers are secret
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
SHOWN_LABELS = 5
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # characters that no label needs, and that databases refuse
WHOLE = re.compile(r"(-?\d+)(?:\.0+)?")  # pandas writes 1.0 where another cell of the column is empty
MAX_NUMBER = 1e100  # squares of more, summed up, are beyond a double
GAP_HINT = "; where there is none, leave it empty"
SPAN = (int, int, str)  # as doccano exports entities
GAP_WORDS = {"na", "n/a", "#n/a", "none", "null", "nan", "-", "?"}


@dataclass(frozen=True)
class LabelForm:
    """How labels are written: their separator within a cell, and the names of those that are numbers."""

    is_multiple: bool
    separator: str | None
    names: Sequence[str] | None

    def parse(self, value: Any) -> tuple[str, ...]:
        """Return the labels that a value holds, each once; none for a gap. AnnotationError if they are not labels."""
        labels = tuple(dict.fromkeys(self._list_labels(value)))
        check_characters(labels)
        if broken := next((label for label in labels if CONTROL.search(label)), None):
            raise AnnotationError(f"a label with a tab, a line end or another control character in it: {broken[:80]!r}")
        return labels

    def _list_labels(self, value: Any) -> list[str]:
        if isinstance(value, str):
            return self._divide(value.strip())
        if isinstance(value, dict) and isinstance(value.get(CHOICES), list):
            value = value[CHOICES]
        if isinstance(value, list | tuple):
            return [name for item in value if (name := self._name(item))]
        name = self._name(value)
        return [name] if name else []

    def _divide(self, cell: str) -> list[str]:
        if cell.startswith("{") and f'"{CHOICES}"' in cell:
            try:
                return self._list_labels(json.loads(cell))
            except ValueError:
                raise AnnotationError(f"is not the JSON that Label Studio writes: {cell[:80]!r}") from None
        if self.is_multiple and is_list(cell):
            return self._list_labels(parse_list(cell, "label"))
        parts = cell.split(self.separator) if self.separator else [cell]
        return [name for part in parts if (name := self._name(part))]

    def _name(self, value: Any) -> str:
        """Return one label; empty if there is none."""
        if isinstance(value, str):
            return self._name_string(value.strip())
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int):
            return self._look_up(value) if self.names else str(value)
        if isinstance(value, float) and value.is_integer():
            return self._name(int(value))
        raise AnnotationError(
            f"a label is a string or a whole number, not {format_value(value)}{_suggest_label(value)}"
        )

    def _name_string(self, label: str) -> str:
        """Return a label that is a string: a number among `names`, or one of them."""
        if not self.names or not label:
            return label
        if number := WHOLE.fullmatch(label):
            return self._look_up(int(number[1]))
        if label not in self.names:
            raise AnnotationError(f"the label {label[:80]!r} is neither a number nor one of {self._show_names()}")
        return label

    def _look_up(self, number: int) -> str:
        assert self.names is not None
        if number == UNLABELLED:
            return ""
        if not 0 <= number < len(self.names):
            raise AnnotationError(f"the label {number} has no name; there are {self._show_names()}")
        return self.names[number]

    def _show_names(self) -> str:
        assert self.names is not None
        more = " ..." if len(self.names) > SHOWN_LABELS else ""
        shown = ", ".join(name[:80] for name in self.names[:SHOWN_LABELS])
        return f"the {len(self.names)} of data.label_names, {DATASET_INFO} or the file itself, from 0: {shown}{more}"


def parse_flags(names: Sequence[str], values: Sequence[Any]) -> tuple[str, ...] | None:
    """Return the names of the columns that hold 1; None if all are empty. AnnotationError if one is not 0 or 1."""
    cells = ["" if value is None else str(value).strip().lower() for value in values]
    if not any(cells):
        return None
    for name, cell in zip(names, cells, strict=True):
        if cell not in FLAGS:
            raise AnnotationError(f"its column {name} must be 0 or 1, not {cell[:80]!r}")
    return tuple(name for name, cell in zip(names, cells, strict=True) if FLAGS[cell])


def parse_numbers(values: Sequence[Any]) -> tuple[float, ...] | None:
    """Return the numbers of an example, of one column that may hold a list, or of several; None if one is missing."""
    if len(values) == 1 and isinstance(values[0], list | tuple):
        values = values[0]
    elif len(values) == 1 and isinstance(values[0], str) and is_list(values[0]):
        values = values[0].strip()[1:-1].split(",")
    numbers = [_parse_number(value) for value in values]
    if not numbers or any(number is None for number in numbers):
        return None
    return tuple(number for number in numbers if number is not None)


def _parse_number(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise AnnotationError(f"a target is a number, not {format_value(value)}")
    try:
        if isinstance(value, str) and "_" in value:
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        hint = _suggest_number(value)
        raise AnnotationError(f"{format_value(value)} is not a number{hint}") from None
    if not math.isfinite(number):
        hint = GAP_HINT if math.isnan(number) else ""
        raise AnnotationError(f"{format_value(value)} is not a finite number{hint}")
    if abs(number) > MAX_NUMBER:
        raise AnnotationError(f"{format_value(value)} is beyond {MAX_NUMBER:g}, the largest number that can be learnt")
    return number


def _suggest_number(value: Any) -> str:
    if not isinstance(value, str):
        return " that a computer can hold"
    if value.strip().lower() in GAP_WORDS:
        return GAP_HINT
    if re.search(r"\d", value) and not re.search(r"[^\W\d_]", value):
        return "; write it with a point before decimals, and nothing else beside the digits"
    return "; is data.target the right column?"


def _suggest_label(value: Any) -> str:
    if isinstance(value, float):
        return ". For numbers take the task regression"
    if isinstance(value, list | tuple) and len(value) == len(SPAN) and all(map(isinstance, value, SPAN)):
        return ", a span of the text. For entities take the task token_classification"
    return ""
