"""Labelled texts as `tuneline import` keeps them: the files of the source, as they are."""

import shutil
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from stages.artifacts import atomic_write
from stages.corpus.examples.profile import profile_examples
from stages.corpus.examples.readers.params import ExampleDataParams
from stages.corpus.examples.reading import ExampleCorpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.params import Section, TaskParams, load_params
from stages.runtime.progress import progress_bar

READING = {
    "data.format": "auto", "data.text": "auto", "data.text_pair": None, "data.separator": None,
    "data.split_column": None, "data.faulty": "refuse",
}  # fmt: skip


def load_reading(params_file: Path, task: type[TaskParams], data: type[ExampleDataParams]) -> Any:
    """The sections `task` and `data` that an import reads; all columns stay, so none is chosen for slices yet."""
    unsliced = create_model("ImportData", __base__=data, slices=(list[str], Field(default=[], max_length=0)))
    return load_params(params_file, create_model("Params", __base__=Section, task=(task, ...), data=(unsliced, ...)))


def copy_examples(corpus: ExampleCorpus, folder: Path) -> dict[str, Any]:
    """Check a corpus and copy its files into the new `folder`; return its profile, without tokens.

    CorpusError with all faults; nothing is copied then.
    """
    diagnostics = Diagnostics()
    with progress_bar(total=None, unit="text", description="check") as progress:
        profile = profile_examples(corpus, diagnostics, count_tokens=None, window=0, on_block=progress.update)
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    with atomic_write(folder) as copy:
        if corpus.place.is_file():
            copy.mkdir()
            shutil.copyfile(corpus.place, copy / corpus.place.name)
        else:
            shutil.copytree(corpus.place, copy, copy_function=shutil.copyfile)
    return profile.to_json(window=None) | diagnostics.to_json()
