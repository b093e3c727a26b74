"""The section `task` of params.yaml: a number for each text, or several."""

from typing import Literal

from pydantic import Field, field_validator

from stages.params import Section, TaskParams


class RegressionParams(TaskParams):
    """How numbers are predicted."""

    name: Literal["regression"]
    pooling: Literal["mean", "first"]
    symmetric: bool
    primary: Literal["pearson", "r2", "rmse", "mae"]
    unit: str | None = Field(min_length=1)

    @field_validator("primary", mode="before")
    @classmethod
    def _can_be_compared(cls, name: object) -> object:
        if name == "spearman":
            raise ValueError("spearman is reported, but no paired test compares two models by it: take pearson")
        return name


SECTIONS: dict[str, type[Section]] = {"task": RegressionParams}
