"""The sections of params.yaml that tokenize alone reads, with the fields of this task."""

from stages.corpus.reading import DataParams
from stages.corpus.text.documents import Context
from stages.params import Section, WindowParams


class TokenizeParams(WindowParams):
    """How sentences are encoded as model inputs."""

    context: Context


SECTIONS: dict[str, type[Section]] = {"data": DataParams, "tokenize": TokenizeParams}
