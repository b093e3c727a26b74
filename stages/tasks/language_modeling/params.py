"""The section `task` of params.yaml: masked words of raw text."""

from typing import Any, Literal

from pydantic import Field

from stages.params import Section, TaskParams


class LanguageModelParams(TaskParams):
    """How many tokens of a window are masked."""

    name: Literal["language_modeling"]
    mask_share: float = Field(gt=0, le=0.5)


PRETRAINS = True  # what these models learn is of use for every task
SECTIONS: dict[str, type[Section]] = {"task": LanguageModelParams}


def check_train(_: LanguageModelParams, train: Any) -> None:
    """Raise ValueError if the section `train` does not fit the task."""
    if train.retain:
        raise ValueError("retain: the masked words are others in each step, so a parent cannot answer them beforehand")
