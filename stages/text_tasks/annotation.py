"""What the tasks on texts share to write examples for the tools of annotators."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

TEXTS = ("text", "pair")


def text_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The text of an entry, and its second one."""
    return {name: entry[name] for name in TEXTS if name in entry}


def configure(
    entries: Sequence[Mapping[str, Any]],
    kind: str,
    controls: Iterable[tuple[str, dict[str, str]]],
    values: Iterable[tuple[str, str]],
) -> str:
    """A labelling configuration of Label Studio, in XML: the texts, and controls of a kind by name and attributes.

    `values` are the tag and the value of each choice of a control.
    """
    view = ElementTree.Element("View")
    for name in TEXTS:
        if any(name in entry for entry in entries):
            ElementTree.SubElement(view, "Text", name=name, value=f"${name}")
    choices = list(values)
    for name, attributes in controls:
        control = ElementTree.SubElement(view, kind, attributes, name=name, toName="text")
        for tag, value in choices:
            ElementTree.SubElement(control, tag, value=value)
    return ElementTree.tostring(view, encoding="unicode")
