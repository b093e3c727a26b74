"""A corpus of texts with labels -> its files, as they are; see `Conversion` in stages/corpus/parts.py."""

from pathlib import Path
from typing import Any, Literal

from stages.corpus.examples.importing import copy_examples, load_reading
from stages.corpus.examples.reading import open_examples
from stages.params import TaskParams
from stages.tasks.text_classification.data.params import DataParams


class ImportTask(TaskParams):
    """What of the task decides how a corpus is read."""

    name: Literal["text_classification"]
    multi_label: bool


def convert(params_file: Path, folder: Path) -> dict[str, Any]:
    """Check the corpus and copy its files into the new `folder`."""
    params = load_reading(params_file, ImportTask, DataParams)
    multi_label = params.task.multi_label
    corpus = open_examples(params.data, wanted="labels", multi_label=multi_label, allow_unsplit=True)
    return copy_examples(corpus, folder)
