"""Lists in cells, in each way of writing them: every writer of escapes is read back exactly."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stages.corpus.readers.list_cells import parse_list
from stages.corpus.text.diagnostics import AnnotationError

STRINGS = st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from("'\"\\/[], \n\x00\x7f\x85\u2028😀")))
ESCAPES = r"\n \/ \' \" \\ \u0041 \x41 \d"  # characters of a word, not escapes


def php(strings: list[str]) -> str:
    """As json_encode of PHP writes it: slashes and all that is not ASCII are escaped."""
    return json.dumps(strings).replace("/", r"\/")


def numpy(strings: list[str]) -> str:
    """As pandas writes an array of NumPy in a cell; strings of a NumPy array lose NUL characters at their end."""
    return np.array2string(np.array(strings, dtype=object), threshold=len(strings) + 1)


WRITERS: dict[str, Callable[[list[str]], str]] = {
    "JSON": json.dumps,
    "JSON in UTF-8": lambda strings: json.dumps(strings, ensure_ascii=False),
    "JSON over lines": lambda strings: json.dumps(strings, indent=1),
    "PHP": php,
    "Python": repr,
    "Python's ascii": ascii,
    "NumPy": numpy,
    "NumPy's scalars": lambda strings: f"[{', '.join(f'np.str_({string!r})' for string in strings)}]",
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@given(strings=STRINGS)
@example(strings=["https://t.co/a1", "😀", "O'Neil", '"', ESCAPES, "\N{BULLET}"])
@example(strings=[ESCAPES + "'"])
def test_list_cell_is_read_as_it_was_written(write: Callable[[list[str]], str], strings: list[str]) -> None:
    assert parse_list(f" {write(strings)}\n", "tokens") == strings


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        (r'["a\/b", "\ud83d\ude00"]', ["a/b", "😀"]),  # valid in both languages: JSON has precedence
        (r"['\x41', '\U0001F600', '\N{BULLET}', '\/']", ["A", "😀", "•", r"\/"]),
        ("[1 0]", [1, 0]),
        ("[1, -1]", [1, -1]),
        ("[np.int64(1), np.int64(0)]", [1, 0]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ('[[0, 4, "LOC"], {"start": 5}]', [[0, 4, "LOC"], {"start": 5}]),
        ("[(0, 4, 'LOC'), {'start': 5}]", [(0, 4, "LOC"), {"start": 5}]),
        ("[]", []),
    ],
)
def test_list_cell_is_read_by_the_rules_of_its_language(cell: str, items: list[Any]) -> None:
    assert parse_list(cell, "tokens") == items


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("Bonn rains", "tokens must be a list in brackets, a sentence a row, not 'Bonn rains'"),
        ('["a", null]', "tokens is not a list of strings or numbers: 'null'"),
        ("['a', None]", "tokens is not a list of strings or numbers: ' None'"),
        ("[true]", "tokens is not a list of strings or numbers: 'true'"),
        ("[0.5]", "tokens is not a list of strings or numbers: '0.5'"),
        ("['a' ... 'b']", "NumPy shortened it, so words are lost"),
        (r"['\xZZ']", "tokens has a string with an invalid escape"),
        ("[(0, 4, open('x'))]", "tokens is not a list of strings or numbers"),
        ("[np.str_('a', 'b']", "tokens is not a list of strings or numbers"),
        ("[" * 5000 + "]" * 5000, "tokens is not a list of strings or numbers"),
    ],
)
def test_list_cell_that_is_no_list_of_words_is_refused(cell: str, message: str) -> None:
    with pytest.raises(AnnotationError) as error:
        parse_list(cell, "tokens")
    assert message in str(error.value)
