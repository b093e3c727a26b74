"""Suspects as the tools of annotators import them, with the given answers to correct."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from stages.corpus.parts import Annotation
from stages.errors import ParamsError, UserError
from stages.task import load_part

Entries = Sequence[Mapping[str, Any]]
MODEL_VERSION = "tuneline"  # of predictions, in Label Studio


def require_tool(tool: str) -> None:
    """UserError if there is no such tool."""
    if tool not in TOOLS:
        raise UserError(f"--export {tool}: no such tool; there are {', '.join(TOOLS)}")


def export_suspects(tool: str, entries: Entries, *, task: str) -> str:
    """The file of one of TOOLS. UserError if the task or the tool cannot do this."""
    try:
        part = cast(Annotation, load_part(task, "tools.annotation"))
    except ParamsError as error:
        raise UserError(f"--export {tool}: {error}") from None
    return TOOLS[tool](entries, part)


def configure_label_studio(entries: Entries, *, task: str) -> str:
    """The labelling configuration that a project in Label Studio needs for these examples."""
    return cast(Annotation, load_part(task, "tools.annotation")).configure_label_studio(entries)


def _export_doccano(entries: Entries, part: Annotation) -> str:
    """JSON Lines; `where` becomes metadata of the text."""
    return "".join(_line(part.doccano(entry) | {"where": entry["where"]}) + "\n" for entry in entries)


def _export_label_studio(entries: Entries, part: Annotation) -> str:
    """A JSON array of tasks: the given answers are annotations, the likely ones predictions."""
    tasks = []
    for entry in entries:
        found = part.label_studio(entry)
        prediction = {"model_version": MODEL_VERSION, "score": entry["score"], "result": found.likely}
        tasks.append(
            {
                "data": found.data | {"where": entry["where"]},
                "annotations": [{"result": found.given}],
                "predictions": [prediction],
            }
        )
    return "[" + ",\n".join(map(_line, tasks)) + "]\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


TOOLS: dict[str, Callable[[Entries, Annotation], str]] = {
    "doccano": _export_doccano,
    "labelstudio": _export_label_studio,
}
