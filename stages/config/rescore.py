"""The section that rescore reads: of a file that its caller writes for one call, not of params.yaml."""

from pydantic import Field

from stages.params import Section


class RescoreParams(Section):
    """Which model is to predict which sentences, and where to; all three are paths."""

    model: str = Field(min_length=1)
    sentences: str = Field(min_length=1)
    split: str = Field(min_length=1)
    output: str = Field(min_length=1)


class Params(Section):
    """The section that rescore reads."""

    rescore: RescoreParams
