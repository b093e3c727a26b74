"""A corpus of texts with numbers -> its files, as they are; see `Conversion` in stages/corpus/parts.py."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.corpus.examples.importing import copy_examples
from stages.corpus.examples.reading import open_examples
from stages.params import Section, TaskParams, load_params
from stages.tasks.regression.data.params import DataParams


class ImportTask(TaskParams):
    """The task, of which nothing else decides how a corpus is read."""

    name: Literal["regression"]


class ImportData(DataParams):
    """How the source is read; all columns stay, so none is chosen for slices yet."""

    slices: list[str] = Field(default=[], max_length=0)


class Params(Section):
    """The sections that an import reads."""

    task: ImportTask
    data: ImportData


def convert(params_file: Path, folder: Path) -> dict[str, Any]:
    """Check the corpus and copy its files into the new `folder`."""
    params = load_params(params_file, Params)
    return copy_examples(open_examples(params.data, wanted="numbers", allow_unsplit=True), folder)
