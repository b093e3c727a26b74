"""Sentences with entities for the tools of annotators; see `Annotation` in stages/corpus/parts.py.

The text is the words with blanks between them. Where they stand goes along as `tokens`, a field that both tools keep:
otherwise the text would be split into other words when it is read again.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any
from xml.etree import ElementTree

from stages.corpus.parts import LabelStudioTask
from stages.tasks.token_classification.scores.marking import extract_entities

CONTROL = "label"  # in Label Studio


def label_studio(entry: Mapping[str, Any]) -> LabelStudioTask:
    """The text, and its entities as regions."""
    regions = {
        side: [
            {
                "from_name": CONTROL,
                "to_name": "text",
                "type": "labels",
                "value": {"start": start, "end": end, "text": _text(entry)[start:end], "labels": [name]},
            }
            for start, end, name in _spans(entry, side)
        ]
        for side in ("given", "likely")
    }
    return LabelStudioTask({"text": _text(entry), "tokens": _tokens(entry)}, **regions)


def configure_label_studio(entries: Sequence[Mapping[str, Any]]) -> str:
    """Labels for the types of these entities."""
    types = {name for entry in entries for side in ("given", "likely") for _, _, name in _spans(entry, side)}
    view = ElementTree.Element("View")
    labels = ElementTree.SubElement(view, "Labels", name=CONTROL, toName="text")
    for name in sorted(types):
        ElementTree.SubElement(labels, "Label", value=name)
    ElementTree.SubElement(view, "Text", name="text", value="$text")
    return ElementTree.tostring(view, encoding="unicode")


def doccano(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The text, and its entities as spans."""
    return {"text": _text(entry), "label": [list(span) for span in _spans(entry, "given")], "tokens": _tokens(entry)}


def _text(entry: Mapping[str, Any]) -> str:
    return " ".join(entry["words"])


def _tokens(entry: Mapping[str, Any]) -> list[dict[str, int]]:
    """The first character of each word, and the one behind its last."""
    ends = list(accumulate(len(word) + 1 for word in entry["words"]))
    return [{"start": end - 1 - len(word), "end": end - 1} for word, end in zip(entry["words"], ends, strict=True)]


def _spans(entry: Mapping[str, Any], side: str) -> list[tuple[int, int, str]]:
    """The first character of each entity, the one behind its last, and its type."""
    tokens = _tokens(entry)
    return [
        (tokens[first]["start"], tokens[after - 1]["end"], name) for name, first, after in extract_entities(entry[side])
    ]
