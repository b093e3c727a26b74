"""The section `task` of params.yaml: a tag for each word."""

from typing import Any, Literal

from stages.params import Section, TaskParams


class TaggingParams(TaskParams):
    """How words are tagged."""

    name: Literal["token_classification"]
    head: Literal["linear", "crf"]


SECTIONS: dict[str, type[Section]] = {"task": TaggingParams}


def check_train(task: TaggingParams, train: Any) -> None:
    """Raise ValueError if the section `train` does not fit."""
    if task.head == "crf" and train.label_smoothing:
        raise ValueError(
            "task.head crf has no label smoothing, since it scores whole sentences: set train.label_smoothing to 0, "
            "or task.head to linear"
        )
