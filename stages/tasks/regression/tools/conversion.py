"""A corpus of texts with numbers -> its files, as they are; see `Conversion` in stages/corpus/parts.py."""

from pathlib import Path
from typing import Any, Literal

from stages.corpus.examples.importing import copy_examples, load_reading
from stages.corpus.examples.reading import open_examples
from stages.params import TaskParams
from stages.tasks.regression.data.params import DataParams


class ImportTask(TaskParams):
    """The task, of which nothing else decides how a corpus is read."""

    name: Literal["regression"]


def convert(params_file: Path, folder: Path) -> dict[str, Any]:
    """Check the corpus and copy its files into the new `folder`."""
    params = load_reading(params_file, ImportTask, DataParams)
    return copy_examples(open_examples(params.data, wanted="numbers", allow_unsplit=True), folder)
