"""The section `task` of params.yaml: a tag for each word."""

from typing import Literal

from stages.params import Section, TaskParams


class TaggingParams(TaskParams):
    """This task has no parameters of its own."""

    name: Literal["token_classification"]


SECTIONS: dict[str, type[Section]] = {"task": TaggingParams}
