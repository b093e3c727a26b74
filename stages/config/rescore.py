"""The section that rescore reads, from a file that its caller writes for one call, not from params.yaml."""

from pydantic import Field

from stages.params import Section


class RescoreParams(Section):
    """The paths of the model, of the sentences to predict, and of the output; the split of the sentences."""

    model: str = Field(min_length=1)
    sentences: str = Field(min_length=1)
    split: str = Field(min_length=1)
    output: str = Field(min_length=1)


class Params(Section):
    """The section that rescore reads."""

    rescore: RescoreParams
