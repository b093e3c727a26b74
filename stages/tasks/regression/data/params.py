"""The sections of params.yaml that tokenize alone reads, with the fields of this task."""

from typing import Annotated

from pydantic import Field

from stages.corpus.examples.readers.params import Answers, Column, ExampleDataParams
from stages.params import Section, WindowParams
from stages.tasks.regression.params import RegressionParams


class DataParams(ExampleDataParams):
    """Where the texts with numbers are, and how they are read."""

    target: Column | Annotated[list[Column], Field(min_length=1)]

    @property
    def answers(self) -> Answers:
        """The columns of the numbers."""
        return Answers("target", tuple(self.target) if isinstance(self.target, list) else self.target)


SECTIONS: dict[str, type[Section]] = {"data": DataParams, "tokenize": WindowParams}


def check_sections(task: RegressionParams, data: DataParams) -> None:
    """Raise ValueError if the sections do not fit each other."""
    if task.symmetric and data.text_pair is None:
        raise ValueError("task.symmetric needs pairs: name the second text with data.text_pair, or set it to false")
