"""Reads, edits and checks params.yaml. `--set SECTION.KEY=VALUE` edits the file itself, so it always says what ran."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.checkout.layout import PARAMS, locate
from pipeline.checkout.params_text import list_keys, separate, write_value
from stages.config.sections import read_task
from stages.errors import ParamsError, UserError, list_faults
from stages.params import parse_document, read_document, read_text, suggest
from stages.scoring import TaskParts
from stages.tracking.version_artifacts import load_task

BRACKETS: dict[type, str] = {list: "[]", dict: "{}"}  # around a value on one line
QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')"""


def apply_settings(path: Path, settings: Sequence[str]) -> str:
    """Return the text of the params file with the values of `KEY=VALUE` strings.

    Only the values themselves change: every other byte is kept, and comments stay in their columns where they fit. No
    other key changes with one that it shares a value with by an anchor. ParamsError lists all settings that are not
    possible.
    """
    "".join(settings).encode()  # UnicodeEncodeError for the name of a file that is not UTF-8, as the params file is
    text = read_text(path)
    values = separate(parse_document(text, path))
    faults: list[str] = []
    for setting in settings:
        try:
            text = _apply(text, setting, values, path)
        except ParamsError as error:
            faults.append(str(error))
    if faults:
        raise ParamsError(list_faults("--set is not usable:", faults))
    return text


def _apply(text: str, setting: str, values: dict[str, Any], path: Path) -> str:
    """Return the text with one setting, and change `values` likewise; ParamsError if it is not possible."""
    key, equals, written = setting.partition("=")
    keys = list_keys(values)
    if not equals:
        raise ParamsError(f"{setting}: write it as SECTION.KEY=VALUE, for example train.epochs=3")
    if key not in keys:
        raise ParamsError(f"{key}: no such key in {path}{suggest(key, keys)}")
    value = _parse_value(key, written)
    *sections, name = key.split(".")
    section = reduce(getitem, sections, values)
    if isinstance(section[name], dict) and section[name] and not isinstance(value, dict | None):
        raise ParamsError(f"{key}: it is a section; set one of its keys, for example {key}.{next(iter(section[name]))}")
    section[name] = value
    changed = write_value(text, key, written, values)
    if changed is None:
        raise ParamsError(f"{key}: other keys in {path} share its value by an anchor; edit the file")
    return changed


def write_setting(key: str, value: Any) -> str:
    """`KEY=VALUE` by which `apply_settings` sets a key to this value."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        is_plain = _parse_value(key, text) == value
    except ParamsError:
        is_plain = False
    return f"{key}={text if is_plain else json.dumps(value, ensure_ascii=False)}"


def read_value(path: Path, key: str) -> Any:
    """Return the value of a dotted key of the params file; ParamsError if it has no such key."""
    try:
        return reduce(getitem, key.split("."), read_document(path))
    except (KeyError, TypeError):
        raise ParamsError(f"{path} {key}: missing") from None


def load_own_task() -> TaskParts:
    """The parts of the current pipeline's task; ParamsError if params.yaml names none, or one that does not exist."""
    params = locate(PARAMS)
    return load_task(read_task(read_document(params), params))


def _parse_value(key: str, text: str) -> Any:
    """Return the value that `text` is; ParamsError if it is no single scalar, list or map, without a comment."""
    try:
        value: Any = YAML(typ="safe").load(f"x: {text}\n")["x"]
    except (YAMLError, ValueError, TypeError, KeyError):
        is_one = False
    else:
        ends = text[:1] + text[-1:]
        is_one = ends == BRACKETS.get(type(value), ends) and not {"#", "\n"} & set(text)
        if isinstance(value, str):
            is_one = value == text or re.fullmatch(QUOTED, text) is not None
    if not is_one:
        raise ParamsError(
            f"{key}: {text!r} is not a single YAML value, such as 3, [a, b] or {{dev: 0.1}}; quote words with other "
            "signs, inside the quotes of the shell"
        )
    return value


def check_params(text: str | None = None) -> None:
    """Check the current pipeline's params.yaml, or `text` in its place, by all stages; UserError with all faults."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = locate(PARAMS) if text is None else Path(folder) / PARAMS
        if text is not None:
            candidate.write_text(text, encoding="utf-8")
        finished = subprocess.run(
            [sys.executable, "-m", "stages.tools.check_params", "--params", str(candidate)],
            capture_output=True,
            text=True,
            check=False,
        )
    if finished.returncode:
        message = finished.stderr.strip().removeprefix("error: ").replace(str(candidate), str(locate(PARAMS)))
        raise UserError(message)
