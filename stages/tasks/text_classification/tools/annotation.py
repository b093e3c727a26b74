"""Texts with labels for the tools of annotators; see `Annotation` in stages/corpus/parts.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.corpus.parts import LabelStudioTask
from stages.text_tasks.annotation import configure, text_fields

CONTROL = "label"  # in Label Studio


def label_studio(entry: Mapping[str, Any]) -> LabelStudioTask:
    """The texts, and their labels as choices."""
    return LabelStudioTask(text_fields(entry), _choices(entry["given"]), _choices(entry["likely"]))


def configure_label_studio(entries: Sequence[Mapping[str, Any]]) -> str:
    """Choices of the labels of these texts; of several if a text has another number of them than one."""
    answers = [entry[side] for entry in entries for side in ("given", "likely")]
    choice = "single" if all(len(labels) == 1 for labels in answers) else "multiple"
    labels = sorted({label for answer in answers for label in answer})
    return configure(entries, "Choices", [(CONTROL, {"choice": choice})], [("Choice", label) for label in labels])


def doccano(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The texts, and their labels."""
    return {**text_fields(entry), "label": list(entry["given"])}


def _choices(labels: Sequence[str]) -> list[dict[str, Any]]:
    return [{"from_name": CONTROL, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}]
