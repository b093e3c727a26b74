"""Reads, edits and checks params.yaml. `--set SECTION.KEY=VALUE` edits the file itself, so it always says what ran."""

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
from stages.errors import ParamsError, UserError, list_faults
from stages.params import read_document, suggest

QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')"""
# A value on one line, and the comment that may follow it.
SCALAR = re.compile(rf"""(?P<value>{QUOTED}|.*?)(?P<gap>\s*)(?P<comment>(?<=\s)\#.*)?$""")


def apply_settings(path: Path, settings: Sequence[str]) -> str:
    """Return the text of the params file with the values of `KEY=VALUE` strings.

    Only the values themselves change: every other byte is kept, and comments stay in their columns where they fit.
    ParamsError lists all settings that are not possible.
    """
    document = read_document(path)
    lines = path.read_text(encoding="utf-8").split("\n")
    places = dict(_find_values(document))
    faults: list[str] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            faults.append(f"{setting}: write it as SECTION.KEY=VALUE, for example train.epochs=3")
        elif key not in places:
            faults.append(f"{key}: no such key in {path}{suggest(key, places)}")
        elif not _is_one_value(text):
            faults.append(f"{key}: {text!r} is not a single YAML value; put it in quotes, inside those of the shell")
        else:
            row, column = places[key]
            lines[row] = lines[row][:column] + _replace_value(lines[row][column:], text)
    if faults:
        raise ParamsError(list_faults("--set is not usable:", faults))
    return "\n".join(lines)


def read_value(path: Path, key: str) -> Any:
    """Return the value of a dotted key that the params file has."""
    node: Any = read_document(path)
    for part in key.split("."):
        node = node[part]
    return node


def _find_values(node: CommentedMap, prefix: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield dotted keys, each with the row and column at which its value starts; a map in braces is one value."""
    for key, value in node.items():
        if isinstance(value, CommentedMap) and not value.fa.flow_style():
            yield from _find_values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", tuple(node.lc.data[key][2:4])


def _is_one_value(text: str) -> bool:
    """Whether YAML reads all of `text` as one scalar or one map in braces, without a comment or a second key."""
    try:
        value: Any = YAML(typ="safe").load(f"x: {text}\n")["x"]
    except (YAMLError, ValueError, TypeError, KeyError):
        return False
    if isinstance(value, str):
        return value == text or re.fullmatch(QUOTED, text) is not None
    braced = text.startswith("{") and text.endswith("}")
    return isinstance(value, dict) == braced and not isinstance(value, list) and not {"#", "\n"} & set(text)


def _replace_value(rest: str, text: str) -> str:
    """Replace the value at the start of the rest of a line, and keep the comment behind it."""
    match = SCALAR.match(rest)
    assert match is not None
    if not match["comment"]:
        return text
    return text.ljust(len(match["value"]) + len(match["gap"]) - 1) + " " + match["comment"]


def check_params(text: str | None = None) -> None:
    """Check params.yaml, or `text` in its place, against the rules of all stages; UserError with all faults."""
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
