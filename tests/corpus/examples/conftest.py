"""Labelled texts in a temporary folder, and what is read of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stages.corpus.examples.figures import ExampleProfile
from stages.corpus.examples.profile import CountTokens, profile_examples
from stages.corpus.examples.readers.columns import Wanted
from stages.corpus.examples.readers.params import ExampleDataParams
from stages.corpus.examples.reading import ExampleCorpus, open_examples
from stages.corpus.text.diagnostics import Diagnostic, Diagnostics
from stages.errors import CorpusError
from stages.tasks.regression.data.params import DataParams as NumberParams
from stages.tasks.text_classification.data.params import DataParams as LabelParams

Content = str | bytes
Files = dict[str, Content]

SETTINGS: dict[str, Any] = {
    "format": "auto", "text": "auto", "text_pair": None, "separator": None, "slices": [], "split": None,
    "split_column": None, "faulty": "refuse",
}  # fmt: skip
ANSWERS: dict[Wanted, dict[str, Any]] = {
    "labels": {"label": "auto", "label_separator": None, "label_names": None},
    "numbers": {"target": "auto"},
}


class Read(NamedTuple):
    """An example as Python objects."""

    text: str
    answer: Any  # a list of labels, or one of numbers
    split: str
    where: str
    pair: str | None
    slices: dict[str, str]


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def make_params(folder: Path, wanted: Wanted = "labels", **settings: Any) -> ExampleDataParams:
    kind = LabelParams if wanted == "labels" else NumberParams
    return kind.model_validate({"dir": str(folder), **SETTINGS, **ANSWERS[wanted], **settings})


def open_files(
    folder: Path,
    files: Files,
    wanted: Wanted = "labels",
    *,
    multi_label: bool = False,
    symmetric: bool = False,
    **settings: Any,
) -> ExampleCorpus:
    params = make_params(write(folder, files), wanted, **settings)
    return open_examples(params, wanted=wanted, multi_label=multi_label, symmetric=symmetric, allow_unsplit=True)


def read_all(corpus: ExampleCorpus, diagnostics: Diagnostics | None = None) -> list[Read]:
    found: list[Read] = []
    for block, splits_E in corpus.blocks(diagnostics if diagnostics is not None else Diagnostics()):
        for number, (text, split) in enumerate(zip(block.texts.to_pylist(), splits_E, strict=True)):
            if block.labels is not None:
                answer = block.labels[number].as_py()
            else:
                assert block.numbers is not None
                answer = block.numbers[number].tolist()
            where = block.where(number).removeprefix(f"{corpus.place}/")
            pair = None if block.pairs is None else block.pairs[number].as_py()
            slices = {name: column[number].as_py() for name, column in block.slices.items()}
            found.append(Read(text, answer, corpus.splits[split], where, pair, slices))
    return found


def profile(
    corpus: ExampleCorpus, *, count_tokens: CountTokens | None = None, window: int = 10
) -> tuple[ExampleProfile, Diagnostics]:
    diagnostics = Diagnostics()
    found = profile_examples(corpus, diagnostics, count_tokens=count_tokens, window=window, on_block=lambda _: None)
    return found, diagnostics


def find(diagnostics: Diagnostics, code: str) -> list[Diagnostic]:
    return [each for each in diagnostics.kept if each.code == code]


def jsonl(*records: Any) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[..., str]:
    """Profiles a corpus that must be refused, and returns all its errors with places relative to its folder."""

    def run(files: Files, wanted: Wanted = "labels", **settings: Any) -> str:
        try:
            _, diagnostics = profile(open_files(tmp_path, files, wanted, **settings))
            diagnostics.raise_errors("refused:")
        except CorpusError as error:
            return str(error).replace(f"{tmp_path}/", "").replace(str(tmp_path), "FOLDER")
        pytest.fail("was read without an error")

    return run
