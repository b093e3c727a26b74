"""The parameters of labelled texts that every task on texts has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stages.corpus.faults import Faulty
from stages.corpus.readers.columns import AUTO
from stages.corpus.splits import SplitParams
from stages.params import Section

ExampleFormat = Literal["csv", "jsonl", "parquet", "fasttext", "folders", "parallel"]
Column = Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Answers:
    """Where the answers are: `columns` are `auto`, one column, or several, each of which is 0 or 1, or a number."""

    parameter: Literal["label", "target"]
    columns: int | str | tuple[int | str, ...]
    separator: str | None = None  # between the labels in a cell
    names: str | None = None  # a file in data.dir with the names of labels that are numbers, one on each line


class ExampleDataParams(Section, ABC):
    """Where the labelled texts are, and how they are read; each task adds the columns of its answers."""

    dir: str = Field(min_length=1)
    format: Literal["auto", "csv", "jsonl", "parquet", "fasttext", "folders", "parallel"]
    text: Column
    text_pair: Column | None
    separator: str | None = Field(max_length=1, min_length=1)
    slices: list[str]
    split: SplitParams | None
    split_column: Column | None
    faulty: Faulty

    @property
    @abstractmethod
    def answers(self) -> Answers:
        """Where the answers are."""

    @field_validator("dir")
    @classmethod
    def _is_not_the_project(cls, folder: str) -> str:
        if Path(folder) == Path():
            raise ValueError("must be a folder within the project, not the whole project")
        return folder

    @model_validator(mode="after")
    def _names_each_column_once(self) -> "ExampleDataParams":
        answers = self.answers.columns
        named = [self.text, self.text_pair, *(answers if isinstance(answers, tuple) else [answers])]
        chosen = [column for column in named if column not in (None, AUTO)]
        if repeated := next((column for column in chosen if chosen.count(column) > 1), None):
            raise ValueError(
                f"text, text_pair and {self.answers.parameter} must be different columns, not {repeated!r}"
            )
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("slices names a column twice")
        return self
