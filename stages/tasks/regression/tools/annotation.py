"""Texts with numbers for the tools of annotators; see `Annotation` in stages/corpus/parts.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.corpus.parts import LabelStudioTask
from stages.errors import UserError
from stages.text_tasks.annotation import configure, text_fields


def label_studio(entry: Mapping[str, Any]) -> LabelStudioTask:
    """The texts, and the number of each target."""
    return LabelStudioTask(text_fields(entry), _numbers(entry["given"]), _numbers(entry["likely"]))


def configure_label_studio(entries: Sequence[Mapping[str, Any]]) -> str:
    """A field for the number of each target."""
    targets = [target for target, _ in entries[0]["given"]] if entries else []
    return configure(entries, "Number", [(target, {}) for target in targets], [])


def doccano(entry: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as of any task
    """UserError: it has no numbers."""
    raise UserError("doccano has no numbers of texts. Label Studio has: --export labelstudio FILE")


def _numbers(answer: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [
        {"from_name": target, "to_name": "text", "type": "number", "value": {"number": number}}
        for target, number in answer
    ]
