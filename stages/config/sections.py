"""Sections whose fields depend on the task: a recipe's `Params` names their base, the task's parts the rest."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import create_model, model_validator

from stages.errors import ParamsError
from stages.params import Section, load_params, read_document
from stages.task import load_part, task_names

DATA = "data.params"
PARTS = {"task": "params", "data": DATA, "tokenize": DATA}  # of a task, by section
# By section: an optional function in a part of a task that raises ValueError if it does not fit the section `task`.
CHECKS = {"data": (DATA, "check_sections"), "train": ("params", "check_train")}

P = TypeVar("P", bound=Section)


def load_task_params(path: Path, model: type[P]) -> P:
    """Read the sections of `path` that `model` names, with the fields of the task that the file names.

    One ParamsError reports all faults of the file.
    """
    return load_params(path, add_task_fields(model, read_task(read_document(path), path)))


def read_task(document: dict[str, Any], path: Path) -> str:
    """The task that a params file names; ParamsError if it names none."""
    section = document.get("task")
    name = section.get("name") if isinstance(section, dict) else None
    if not isinstance(name, str):
        raise ParamsError(
            f"{path} names no task. Add a section `task: {{name: NAME}}`; NAME is {' or '.join(task_names())}."
        )
    return name


def add_task_fields(model: type[P], task: str) -> type[P]:
    """`model` with the task's own fields in the sections that have some, which may not contradict each other."""
    parts = {PARTS[name]: load_part(task, PARTS[name]) for name in PARTS if name in model.model_fields}
    own: dict[str, Any] = {
        name: (section, ...)
        for part in parts.values()
        for name, section in part.SECTIONS.items()
        if name in model.model_fields
    }
    checks = {
        section: getattr(parts[part], name)
        for section, (part, name) in CHECKS.items()
        if section in model.model_fields and hasattr(parts.get(part), name)
    }

    def check(sections: P) -> P:
        for name, check_section in checks.items():
            check_section(sections.task, getattr(sections, name))  # type: ignore[attr-defined]  # added just below
        return sections

    validators: dict[str, Any] = {"_sections_fit": model_validator(mode="after")(check)}
    return create_model(model.__name__, __base__=model, __validators__=validators, **own)
