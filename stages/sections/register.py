"""The section of params.yaml that register reads."""

from pydantic import Field

from stages.params import Section


class RegisterParams(Section):
    """Under which name the model is registered."""

    name: str = Field(min_length=1, pattern=r"^\w[\w .-]*$")  # safe in MLflow, in NAME@ALIAS and in NAME/VERSION


class Params(Section):
    """The sections that register reads."""

    register_: RegisterParams = Field(alias="register")
