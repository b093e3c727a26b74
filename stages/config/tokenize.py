"""The sections of params.yaml that tokenize reads."""

from pydantic import Field, model_validator

from stages.corpus.profile import Context
from stages.corpus.reading import DataParams
from stages.params import PretrainedParams, Section


class TokenizeParams(Section):
    """How sentences are encoded as model inputs."""

    window_length: int = Field(ge=8, le=8192)
    window_overlap: int = Field(ge=0)
    context: Context

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> "TokenizeParams":
        if self.window_overlap > self.window_length // 2:
            raise ValueError("window_overlap may be at most half of window_length")
        return self


class Params(Section):
    """The sections that tokenize reads."""

    data: DataParams
    model: PretrainedParams
    tokenize: TokenizeParams
