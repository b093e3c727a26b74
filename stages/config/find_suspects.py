"""The section that find_suspects reads, from a file that its caller writes for one call, not from params.yaml."""

from pydantic import Field

from stages.params import Section


class FindSuspectsParams(Section):
    """The folder of the pipeline, the split, and how many examples are shown; 0 for all."""

    pipeline: str = Field(min_length=1)
    split: str
    limit: int = Field(ge=0)


class Params(Section):
    """The section that find_suspects reads."""

    find_suspects: FindSuspectsParams
