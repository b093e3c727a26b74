"""The sections of params.yaml that evaluate reads."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from stages.modeling.precision import Precision
from stages.params import RuntimeParams, Section


class EvaluateParams(Section):
    """How a trained model is scored."""

    batch_tokens: int = Field(ge=16)
    precision: Precision
    also: list[Annotated[str, Field(min_length=1)]]

    @field_validator("also")
    @classmethod
    def _names_differ(cls, corpora: list[str]) -> list[str]:
        twice = [name for name, count in Counter(Path(corpus).name for corpus in corpora).items() if count > 1]
        if twice:
            raise ValueError(f"scores are listed by the last part of a path, and two are called {twice[0]}: rename one")
        return corpora


class Params(Section):
    """The sections that evaluate reads."""

    evaluate: EvaluateParams
    runtime: RuntimeParams
