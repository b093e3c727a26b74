"""The section `task` of params.yaml: masked words of raw text."""

from typing import Literal

from pydantic import Field

from stages.params import Section, TaskParams


class LanguageModelParams(TaskParams):
    """How many tokens of a window are masked."""

    name: Literal["language_modeling"]
    mask_share: float = Field(gt=0, le=0.5)


PRETRAINS = True  # what these models learn is of use for every task
SECTIONS: dict[str, type[Section]] = {"task": LanguageModelParams}
