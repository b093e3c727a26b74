"""The parts of each task have all that their Protocols ask for: they are modules, whose types mypy does not compare."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import stages.tasks
from stages.corpus.parts import Annotation, Comparison, Conversion, Importing
from stages.dynamics.suspects import Suspects
from stages.encoding.task_data import TaskData
from stages.modeling.head import TaskModel
from stages.scoring import Presentation, Scores
from stages.task import TASKS, task_names
from stages.training.evaluation import TaskReport

PARTS = {
    "data.corpus": TaskData,
    "model.head": TaskModel,
    "scores.scoring": Scores,
    "report.evaluation": TaskReport,
    "presentation": Presentation,
}
OPTIONAL = {
    "tools.importing": Importing,
    "tools.conversion": Conversion,
    "tools.comparison": Comparison,
    "tools.annotation": Annotation,
    "tools.suspects": Suspects,
}
CASES = [
    *((task, part) for task in task_names() for part in PARTS),
    *(
        (task, part)
        for task in task_names()
        for part in OPTIONAL
        if (TASKS / task / f"{part.replace('.', '/')}.py").exists()
    ),
    *(("toy", part) for part in PARTS),  # of tests/test_new_task.py, without the optional ones
]


@pytest.mark.parametrize(("task", "part"), CASES, ids=[".".join(case) for case in CASES])
def test_a_part_has_what_its_protocol_asks_for(monkeypatch: pytest.MonkeyPatch, task: str, part: str) -> None:
    monkeypatch.setattr(stages.tasks, "__path__", [*stages.tasks.__path__, str(Path(__file__).parent / "tasks")])
    module, protocol = import_module(f"stages.tasks.{task}.{part}"), (PARTS | OPTIONAL)[part]
    functions = {name: value for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}
    assert {name for name in (*protocol.__annotations__, *functions) if not hasattr(module, name)} == set()
    for name, function in functions.items():
        positional, by_name = describe_parameters(function)
        assert describe_parameters(getattr(module, name)) == (positional - 1, by_name), name  # without self


def describe_parameters(function: Any) -> tuple[int, list[str]]:
    """How many parameters are given by position, and the names of the others."""
    parameters = inspect.signature(function).parameters.values()
    by_name = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    return len(parameters) - len(by_name), by_name
