"""The sections of params.yaml that tokenize alone reads, with the fields of this task."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from stages.corpus.examples.readers.params import Answers, Column, ExampleDataParams
from stages.params import Section, WindowParams
from stages.tasks.text_classification.params import ClassificationParams


class DataParams(ExampleDataParams):
    """Where the labelled texts are, and how they are read."""

    label: Column | Annotated[list[Column], Field(min_length=1)]
    label_separator: str | None = Field(min_length=1)
    label_names: str | None = Field(min_length=1)

    @property
    def answers(self) -> Answers:
        """The columns of the labels."""
        columns = tuple(self.label) if isinstance(self.label, list) else self.label
        return Answers("label", columns, self.label_separator, self.label_names)

    @field_validator("label_names")
    @classmethod
    def _is_in_the_folder(cls, file: str | None) -> str | None:
        if file is not None and (Path(file).is_absolute() or ".." in Path(file).parts):
            raise ValueError("label_names must be a file within dir, by its path from there")
        return file

    @model_validator(mode="after")
    def _separates_what_one_column_holds(self) -> "DataParams":
        if isinstance(self.label, list) and self.label_separator is not None:
            raise ValueError("label_separator divides the cells of one column, and label names several: set it to null")
        return self


SECTIONS: dict[str, type[Section]] = {"data": DataParams, "tokenize": WindowParams}


def check_sections(task: ClassificationParams, data: DataParams) -> None:
    """Raise ValueError if the sections do not fit each other."""
    if task.symmetric and data.text_pair is None:
        raise ValueError("task.symmetric needs pairs: name the second text with data.text_pair, or set it to false")
    if not task.multi_label and data.label_separator is not None:
        raise ValueError("data.label_separator makes several labels: set task.multi_label to true, or it to null")
