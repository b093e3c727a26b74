"""Texts and pairs of texts as people write them in a line."""

import json
from typing import Any


def read_pair(line: str) -> Any:
    """A line as a model of texts takes it: a string, or `text` and `pair` of two with a tab between them.

    A JSON object that has a `text` is one such input.
    """
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except ValueError:
            return line
        if "text" in found:
            return found
    text, tab, pair = line.partition("\t")
    return {"text": text, "pair": pair} if tab else line
