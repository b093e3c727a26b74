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
from stages.tracking.version_artifacts import CONFIG, MODEL_FILES, load_version_task

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

BLOCK = 1000  # texts: what is encoded and predicted at a time, so that memory does not grow with the input
ALL_SCORES = "all_scores"


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

    def answer(self, inputs: Sequence[Any], *, all_scores: bool) -> Iterator[tuple[Any, Any]]:
        """Yield each input with the model's answer; UserError if it is asked for scores that it does not have."""
        import mlflow
        from mlflow.exceptions import MlflowException

        from stages.runtime.progress import progress_bar

        with translate_errors():
            model = mlflow.pyfunc.load_model(str(self.folder))
        params = self._check_params(model, all_scores=all_scores)
        shown = not sys.stdout.isatty()  # the answers show how far it is
        with progress_bar(total=len(inputs), unit="text", description="predict") if shown else nullcontext() as bar:
            for start in range(0, len(inputs), BLOCK):
                block = inputs[start : start + BLOCK]
                try:
                    answers = model.predict(block, **params)
                except MlflowException as error:
                    raise UserError(f"{self.label} cannot read this: {error.message}") from None
                yield from zip(block, answers, strict=True)
                if bar is not None:
                    bar.update(len(block))

    def _check_params(self, model: "PyFuncModel", *, all_scores: bool) -> dict[str, Any]:
        if not all_scores:
            return {}
        schema = model.metadata.get_params_schema()
        if schema is None or ALL_SCORES not in {param.name for param in schema.params}:
            raise UserError(f"{self.label} has no scores of labels to show: leave out --all-scores")
        return {"params": {ALL_SCORES: True}}


def find_served(reference: str) -> ServedVersion:
    """The version that `resolve` finds, its files on this machine."""
    with translate_errors():
        version = resolve(connect(), reference)
        import mlflow

        label = f"{version.name}/{version.version}"
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{label}"))
        return ServedVersion(label, folder, load_version_task(version))
