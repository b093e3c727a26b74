from typing import Literal

from stages.params import Section, TaskParams


class ToyParams(TaskParams):
    name: Literal["toy"]
    pooling: Literal["mean", "first"]


SECTIONS: dict[str, type[Section]] = {"task": ToyParams}
