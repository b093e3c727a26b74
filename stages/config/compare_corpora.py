"""The section that compare_data reads: of a file that its caller writes for one call, not of params.yaml."""

from pydantic import Field

from stages.corpus.reading import DataParams
from stages.params import Section


class CompareDataParams(Section):
    """The two corpora, each with how it is read, and how many examples of each kind of difference are told."""

    first: DataParams
    second: DataParams
    examples: int = Field(ge=0)


class Params(Section):
    """The section that compare_data reads."""

    compare_data: CompareDataParams
