"""A version of a model, used as it would be served, but on this machine."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.registry.versions import resolve
from stages.artifacts import read_json
from stages.errors import UserError
from stages.scoring import TaskParts
from stages.tracking.client import connect, translate_errors
from stages.tracking.parent import MODEL_FILES
from stages.tracking.version_artifacts import CONFIG, load_version_task

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

BLOCK = 1000  # texts: what is encoded and predicted at a time, so that memory does not grow with the input
# What a model may be asked for, and what is said of one that does not know this parameter.
REFUSALS = {"all_scores": "has no scores of labels to show", "documents": "reads no sentences in their context"}


@dataclass(frozen=True)
class ServedVersion:
    """The files of a version, as MLflow keeps them, and its task."""

    label: str  # NAME/VERSION
    folder: Path
    task: TaskParts

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's config.json."""
        return read_json(self.folder / MODEL_FILES / CONFIG)

    def answer(self, inputs: Sequence[Any], *, all_scores: bool, documents: bool) -> Iterator[tuple[Any, Any]]:
        """Yield each input with the model's answer; UserError if it is asked for what it does not have.

        With `documents` the inputs are sentences of one document after another, with an empty one between two.
        """
        import mlflow
        from mlflow.exceptions import MlflowException

        from stages.runtime.progress import progress_bar

        with translate_errors():
            model = mlflow.pyfunc.load_model(str(self.folder))
        params = self._check_params(model, all_scores=all_scores, documents=documents)
        shown = not sys.stdout.isatty()  # the answers show how far it is
        with progress_bar(total=len(inputs), unit="text", description="predict") if shown else nullcontext() as bar:
            for block in cut_blocks(inputs, whole_documents=documents):
                try:
                    answers = model.predict(block, params=params)
                except MlflowException as error:
                    raise UserError(f"{self.label} cannot read this: {error.message}") from None
                yield from zip(block, answers, strict=True)
                if bar is not None:
                    bar.update(len(block))

    def _check_params(self, model: "PyFuncModel", **asked: bool) -> dict[str, bool] | None:
        schema = model.metadata.get_params_schema()
        known = {param.name for param in schema.params} if schema else set()
        for name in [name for name, is_asked in asked.items() if is_asked]:
            if name not in known:
                raise UserError(f"{self.label} {REFUSALS[name]}: leave out --{name.replace('_', '-')}")
        return {name: True for name, is_asked in asked.items() if is_asked} or None


def cut_blocks(inputs: Sequence[Any], *, whole_documents: bool) -> Iterator[Sequence[Any]]:
    """Cut inputs into blocks of BLOCK, or of more if documents are to stay whole, which an empty input divides."""
    start = 0
    while start < len(inputs):
        end = start + BLOCK
        while whole_documents and end < len(inputs) and inputs[end]:
            end += 1
        yield inputs[start:end]
        start = end


def find_served(reference: str) -> ServedVersion:
    """The version that `resolve` finds, its files on this machine."""
    with translate_errors():
        version = resolve(connect(), reference)
        import mlflow

        label = f"{version.name}/{version.version}"
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{label}"))
        return ServedVersion(label, folder, load_version_task(version))
