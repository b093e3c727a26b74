"""The section that compare_corpora reads, from a file that its caller writes for one call, not from params.yaml."""

from typing import Any

from pydantic import Field

from stages.params import Section


class SideParams(Section):
    """One corpus: the sections `task` and `data` of the params that it was read with, which that task checks."""

    task: dict[str, Any]
    data: dict[str, Any]


class CompareCorporaParams(Section):
    """The two corpora, and the number of examples of each kind of difference."""

    first: SideParams
    second: SideParams
    examples: int = Field(ge=0)


class Params(Section):
    """The section that compare_corpora reads."""

    compare_corpora: CompareCorporaParams
