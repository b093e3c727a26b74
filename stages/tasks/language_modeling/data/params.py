"""The sections of params.yaml that tokenize alone reads, with the fields of this task."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from stages.corpus.splits import SplitParams
from stages.params import Section

Document = Literal["blank_line", "file"]


class DataParams(Section):
    """Where the raw text is, and what parts its documents: an empty line, or the end of a file."""

    dir: str = Field(min_length=1)
    document: Document
    split: SplitParams | None

    @field_validator("dir")
    @classmethod
    def _is_not_the_project(cls, folder: str) -> str:
        if Path(folder) == Path():
            raise ValueError("must be a folder within the project, not the whole project")
        return folder


class WindowParams(Section):
    """The windows that documents are cut into, in tokens, special tokens included; they never overlap."""

    window_length: int = Field(ge=8, le=8192)


SECTIONS: dict[str, type[Section]] = {"data": DataParams, "tokenize": WindowParams}
