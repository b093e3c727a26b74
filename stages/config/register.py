"""The section of params.yaml that register reads."""

from pydantic import Field

from stages.params import Section


class GateParams(Section):
    """Conditions for a version to become champion."""

    significance_level: float = Field(gt=0, lt=1)
    min_score: float | None
    max_drop_per_label: float | None = Field(ge=0)
    max_drop_per_slice: float | None = Field(ge=0)
    max_forgetting: float | None = Field(ge=0)
    max_latency_ms: float | None = Field(gt=0)


class RegisterParams(Section):
    """The name under which the model is registered, and the conditions of its promotion."""

    auto_promote: bool
    name: str = Field(min_length=1, pattern=r"^\w[\w .-]*$")  # safe in MLflow, in NAME@ALIAS and in NAME/VERSION
    gate: GateParams


class Params(Section):
    """The sections that register reads."""

    register_: RegisterParams = Field(alias="register")
