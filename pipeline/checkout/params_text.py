"""Writes a value into the text of a YAML file, and leaves every other byte as it is."""

import json
import re
from collections.abc import Iterator
from functools import reduce
from operator import getitem
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from stages.params import MERGE_TAG, compose, find_pair

BYTE_ORDER_MARK = "\ufeff"
ALIAS = re.compile(r"\s*:\s*(\*[^\s,\[\]{}]+)")  # what follows the key
PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:\s+|$))*")  # anchor and tag, in front of a value
COMMENT = re.compile(r"[ \t]+(?=#)")  # the gap in front of a comment


def write_value(text: str, key: str, written: str, values: dict[str, Any]) -> str | None:
    """Return `text` with `written` as the value of a dotted key, so that all of it reads as `values`.

    A key that takes its value from another place, by an alias or by `<<`, gets one of its own; so does every key that
    would change because it takes its value from here. None if that is not possible in this text.
    """
    mark = BYTE_ORDER_MARK if text.startswith(BYTE_ORDER_MARK) else ""
    try:
        text = _write(text.removeprefix(mark), tuple(key.split(".")), written, values)
        for _ in list_keys(values):  # each turn gives one more key a value of its own
            location = next(_find_differences(values, YAML(typ="safe").load(text)), None)
            if location is None:
                return mark + text
            text = _write(text, location, _as_flow(reduce(getitem, location, values)), values)
    except (YAMLError, ValueError):
        pass
    return None


def list_keys(values: dict[str, Any], prefix: str = "") -> list[str]:
    """List the dotted keys of all values, those of sections included; no key that a dotted one cannot name."""
    keys = []
    for key, value in values.items():
        if isinstance(key, str) and "." not in key:
            keys.append(f"{prefix}{key}")
            keys += list_keys(value, f"{prefix}{key}.") if isinstance(value, dict) else []
    return keys


def separate(values: Any) -> Any:
    """Copy the values of a file: sections that are one object, since one is an alias of the other, become two."""
    return {key: separate(value) for key, value in values.items()} if isinstance(values, dict) else values


def _find_differences(expected: Any, actual: Any, location: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the locations of values that differ; of a section that has more keys than expected, its own."""
    if not isinstance(expected, dict) or not isinstance(actual, dict) or actual.keys() - expected.keys():
        if repr(expected) != repr(actual):  # 1, 1.0 and true differ, .nan and .nan do not
            yield location
        return
    for key, value in expected.items():
        yield from _find_differences(value, actual.get(key, ...), (*location, key))


def _as_flow(value: Any) -> str:
    """Format a value on one line, as JSON, which YAML reads alike; what JSON lacks is found when it is read back."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _write(text: str, location: tuple[str, ...], written: str, values: dict[str, Any]) -> str:
    """Write the value at `location`, or at the first key on the way to it that takes its value from elsewhere."""
    node: Node = compose(text)
    for depth, key in enumerate(location, 1):
        if not isinstance(node, MappingNode):
            raise ValueError("a mapping that is written in another way, such as !!omap")
        is_last = depth == len(location)
        own = written if is_last and not node.flow_style else _as_flow(reduce(getitem, location[:depth], values))
        pair = find_pair(node, key)
        if pair is None:
            return _insert(text, node, f"{key}: {own}")
        if is_last or _is_alias(*pair):
            return _replace(text, *pair, own)
        node = pair[1]
    raise ValueError("a key more or less at the top")


def _is_alias(key: Node, value: Node) -> bool:
    return bool(value.start_mark.index < key.start_mark.index)


def _insert(text: str, mapping: MappingNode, entry: str) -> str:
    """Insert a key with its value before the `<<` that it hides a key of."""
    start = next(key.start_mark for key, _ in mapping.value if key.tag == MERGE_TAG)
    line_end = "\r\n" if "\r\n" in text else "\n"
    separator = ", " if mapping.flow_style else line_end + " " * start.column
    return text[: start.index] + entry + separator + text[start.index :]


def _replace(text: str, key: Node, value: Node, written: str) -> str:
    """Replace a value; its anchor stays, for others may refer to it, and so does the comment behind it."""
    if isinstance(value, CollectionNode) and not value.flow_style and not _is_alias(key, value):
        return _replace_block(text, key, value, written)
    if _is_alias(key, value):
        alias = ALIAS.match(text, key.end_mark.index)
        if alias is None:
            raise ValueError("the alias is not beside its key")
        start, end = alias.span(1)
    else:
        start = value.start_mark.index
        end = start + len(text[start : value.end_mark.index].rstrip())  # a block scalar ends after its line
    old = text[start:end]
    new = (" " if start == end and text[start - 1] == ":" else "") + _keep_anchor(old) + written
    gap = COMMENT.match(text, end)
    if gap is None:
        return text[:start] + new + text[end:]
    width = 0 if "\n" in old else gap.end() - start - 1
    return text[:start] + new.ljust(width) + " " + text[gap.end() :]


def _replace_block(text: str, key: Node, value: Node, written: str) -> str:
    """Replace a section of lines by a value on the line of its key, where a comment stays."""
    start = text.index(":", key.end_mark.index) + 1
    block = text[start : value.end_mark.index].rstrip()  # it ends where the next key starts
    while (last := block.rpartition("\n")[2].lstrip()).startswith("#"):
        block = block.removesuffix(last).rstrip()
    head = re.match(r"[^\r\n]*", block)
    assert head is not None
    comment = COMMENT.search(head[0])
    rest = head[0][comment.start() :] if comment else ""
    return f"{text[:start]} {_keep_anchor(head[0].lstrip())}{written}{rest}{text[start + len(block) :]}"


def _keep_anchor(old: str) -> str:
    """The anchor in front of a value, with a space behind it; empty if there is none."""
    properties = PROPERTIES.match(old)
    anchors = [word for word in properties[0].split() if word.startswith("&")] if properties else []
    return "".join(f"{anchor} " for anchor in anchors)
