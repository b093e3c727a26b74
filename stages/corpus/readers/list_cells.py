"""Lists in the cells of a table: JSON, Python's repr as pandas writes it, or NumPy's, with blanks between the items."""

import ast
import json
import re
import warnings
from typing import Any

from stages.corpus.text.diagnostics import AnnotationError

# An item of a list of Python or NumPy, perhaps in the constructor that NumPy 2 shows; or a comma.
ITEM = re.compile(
    r"""\s*(?:(np\.\w+\(\s*)?(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(-?\d{1,18}(?![\d.])))
    (?(1)\s*\))|,)""",
    re.DOTALL | re.VERBOSE,
)


def is_list(cell: str) -> bool:
    """Whether a cell has the brackets of a list."""
    text = cell.strip()
    return text.startswith("[") and text.endswith("]")


def parse_list(cell: str, name: str) -> list[Any]:
    """Return the items of the list in a cell of the column `name`: strings, whole numbers, or lists and objects.

    JSON is read as JSON, in which `\\/` is a slash and `\\ud83d\\ude00` one character, and all else as Python.
    AnnotationError if it is no such list.
    """
    text = cell.strip()
    if not is_list(text):
        raise AnnotationError(f"{name} must be a list in brackets, a sentence a row, not {text[:80]!r}")
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = _parse_spans(text) or _parse_python(text[1:-1].rstrip(), name)
    for item in items:
        if type(item) not in (str, int, list, dict, tuple):
            raise AnnotationError(f"{name} is not a list of strings or numbers: {json.dumps(item)[:80]!r}")
    return list(items)


def _parse_spans(text: str) -> list[Any]:
    """Return the lists, tuples or objects in a list of Python; empty if it holds anything else."""
    if text[1:].lstrip()[:1] not in tuple("[({"):
        return []
    try:
        return list(_evaluate(text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []


def _parse_python(body: str, name: str) -> list[Any]:
    items: list[Any] = []
    at = 0
    while at < len(body):
        match = ITEM.match(body, at)
        if match is None:
            lost = "; NumPy shortened it, so words are lost: write JSON Lines or Parquet" if "..." in body[at:] else ""
            raise AnnotationError(f"{name} is not a list of strings or numbers{lost}: {body[at : at + 80]!r}")
        _, string, number = match.groups()
        if string or number:
            items.append(_parse_string(name, string) if string else int(number))
        at = match.end()
    return items


def _parse_string(name: str, quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        return str(_evaluate(quoted))
    except (SyntaxError, ValueError):
        raise AnnotationError(f"{name} has a string with an invalid escape: {quoted[:80]}") from None


def _evaluate(literal: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes like \\d, which mean themselves
        return ast.literal_eval(literal)
