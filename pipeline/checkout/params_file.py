"""`--set SECTION.KEY=VALUE`: edits params.yaml in place, comments kept, so that the file always says what ran."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from pipeline.checkout.layout import PARAMS
from stages.errors import ParamsError, UserError, listed
from stages.params import read_document, suggestion

QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')"""
# A value on one line, and what may follow it.
SCALAR = re.compile(rf"""(?P<value>{QUOTED}|.*?)(?P<gap>\s*)(?P<comment>(?<=\s)\#.*)?$""")


def with_values(path: Path, assignments: Sequence[str]) -> str:
    """The text of the params file with the values of `KEY=VALUE` strings; ParamsError lists all that cannot be set.

    Only the values themselves change: every other byte of the file stays, comments in their columns where they fit.
    """
    document = read_document(path)
    lines = path.read_text(encoding="utf-8").split("\n")
    places = dict(_leaves(document))
    faults: list[str] = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            faults.append(f"{assignment}: write it as SECTION.KEY=VALUE, for example train.epochs=3")
        elif key not in places:
            faults.append(f"{key}: no such key in {path}{suggestion(key, places)}")
        elif not _is_one_value(text):
            faults.append(f"{key}: {text!r} is not one YAML value; put it in quotes, also within those of the shell")
        else:
            row, column = places[key]
            lines[row] = lines[row][:column] + _replaced(lines[row][column:], text)
    if faults:
        raise ParamsError(listed("--set cannot be used as it stands:", faults))
    return "\n".join(lines)


def value_of(path: Path, key: str) -> Any:
    """The value of a dotted key of the params file, which has it."""
    node: Any = read_document(path)
    for part in key.split("."):
        node = node[part]
    return node


def _leaves(node: CommentedMap, prefix: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    """Dotted keys, each with the row and column at which its value starts; a map in braces is a value."""
    for key, value in node.items():
        if isinstance(value, CommentedMap) and not value.fa.flow_style():
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", tuple(node.lc.data[key][2:4])


def _is_one_value(text: str) -> bool:
    """Whether YAML reads all of `text` as one scalar or one map in braces, no comment or second key in it."""
    try:
        value: Any = YAML(typ="safe").load(f"x: {text}\n")["x"]
    except (YAMLError, ValueError, TypeError, KeyError):
        return False
    if isinstance(value, str):
        return value == text or re.fullmatch(QUOTED, text) is not None
    braced = text.startswith("{") and text.endswith("}")
    return isinstance(value, dict) == braced and not isinstance(value, list) and not {"#", "\n"} & set(text)


def _replaced(rest: str, text: str) -> str:
    """The rest of a line from a value on, with another value."""
    found = SCALAR.match(rest)
    assert found is not None
    if not found["comment"]:
        return text
    return text.ljust(len(found["value"]) + len(found["gap"]) - 1) + " " + found["comment"]


def check_params(text: str | None = None) -> None:
    """Check params.yaml, or a text that may become it, with the stages' own rules; UserError with all faults."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = PARAMS if text is None else Path(folder) / PARAMS
        if text is not None:
            candidate.write_text(text, encoding="utf-8")
        finished = subprocess.run(
            [sys.executable, "-m", "stages.tools.check_params", "--params", str(candidate)],
            capture_output=True,
            text=True,
            check=False,
        )
    if finished.returncode:
        message = finished.stderr.strip().removeprefix("error: ").replace(str(candidate), str(PARAMS))
        raise UserError(message)
