"""`--set SECTION.KEY=VALUE`: edits params.yaml in place, comments kept, so that the file always says what ran."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from stages.errors import ParamsError, listed
from stages.params import read_document, suggestion

WIDE = 10_000  # ruamel wraps longer lines


def with_values(path: Path, assignments: Sequence[str]) -> str:
    """The text of the params file with the values of `KEY=VALUE` strings; ParamsError lists all that cannot be set."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = WIDE
    document = read_document(path)
    known = list(_leaves(document))
    faults: list[str] = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            faults.append(f"{assignment}: write it as SECTION.KEY=VALUE, for example train.epochs=3")
        elif key not in known:
            faults.append(f"{key}: no such key in {path}{suggestion(key, known)}")
        else:
            try:
                _assign(document, key, yaml.load(text))
            except YAMLError:
                faults.append(f"{key}: {text!r} is not a YAML value; put it in quotes")
    if faults:
        raise ParamsError(listed("--set cannot be used as it stands:", faults))
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue()


def _leaves(node: CommentedMap, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, CommentedMap):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _assign(document: CommentedMap, key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        document = document[part]
    document[last] = value
