"""The section that compare_corpora reads, from a file that its caller writes for one call, not from params.yaml."""

from pydantic import Field

from stages.corpus.reading import DataParams
from stages.params import Section


class CompareCorporaParams(Section):
    """The two corpora, each with how it is read, and the number of examples of each kind of difference."""

    first: DataParams
    second: DataParams
    examples: int = Field(ge=0)


class Params(Section):
    """The section that compare_corpora reads."""

    compare_corpora: CompareCorporaParams
