"""A corpus of raw text -> its files, as they are; see `Conversion` in stages/corpus/parts.py."""

import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.artifacts import atomic_write
from stages.corpus.text.diagnostics import Diagnostics
from stages.params import Section, TaskParams, load_params
from stages.tasks.language_modeling.data.params import DataParams
from stages.tasks.language_modeling.data.profile import profile_corpus
from stages.tasks.language_modeling.data.raw_corpus import open_corpus


class ImportTask(TaskParams):
    """The task, of which nothing else decides how a corpus is read."""

    name: Literal["language_modeling"]


class ImportData(DataParams):
    """Where the raw text is; an import does not split it."""

    split: None = Field(default=None)


class Params(Section):
    """The sections that an import reads."""

    task: ImportTask
    data: ImportData


def convert(params_file: Path, folder: Path) -> dict[str, Any]:
    """Check the corpus and copy its files into the new `folder`; CorpusError with all faults, and nothing is copied."""
    corpus, diagnostics = open_corpus(load_params(params_file, Params).data, allow_unsplit=True), Diagnostics()
    profile = profile_corpus(corpus, diagnostics, None, window=0, on_block=lambda _: None)
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    with atomic_write(folder) as copy:
        if corpus.place.is_file():
            copy.mkdir()
            shutil.copyfile(corpus.place, copy / corpus.place.name)
        else:
            shutil.copytree(corpus.place, copy, copy_function=shutil.copyfile)
    return profile.to_json(window=None) | diagnostics.to_json()
