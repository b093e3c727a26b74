"""The task of a pipeline: a folder of `stages/tasks/`, found by its name and loaded part by part.

No module names the tasks: a new folder is a new task, and no other task's stages become stale by it. What a part must
offer is written where it is used, as `Scores` and `Presentation` in stages/scoring.py.
"""

import pkgutil
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from stages.errors import ParamsError

TASKS = Path(__file__).parent / "tasks"


def task_names() -> list[str]:
    """The names of all tasks, in alphabetical order."""
    return sorted(found.name for found in pkgutil.iter_modules([str(TASKS)]) if found.ispkg)


def load_part(task: str, part: str) -> Any:
    """The module `part` of a task, such as `scores.scoring`.

    ParamsError if there is no such task, which lists all, or if the task does not have that part.
    """
    known = task_names()
    if task not in known:
        near = get_close_matches(task, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ParamsError(f"task.name is {task}; there is no such task: {hint}")
    module = f"stages.tasks.{task}.{part}"
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # of what the part imports
        file = f"stages/{TASKS.name}/{task}/{part.replace('.', '/')}.py"
        raise ParamsError(f"the task {task} cannot do this: it has no {file}") from None
