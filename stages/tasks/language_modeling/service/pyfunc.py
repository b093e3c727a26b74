"""The pyfunc model: MLflow runs this file when it loads a model version, so that nothing is pickled.

mlflow.pyfunc.load_model("models:/demo-language@challenger").predict(["The delivery was two [MASK] late."])
"""

from pathlib import Path
from typing import Any, cast

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel

from stages.tasks.language_modeling.service.predictor import load_filler


class Candidate(BaseModel):
    """A token that may stand in the place of a mask, with its probability."""

    word: str
    score: float


class FilledMask(BaseModel):
    """The likeliest tokens in the place of a mask."""

    candidates: list[Candidate]


class Answer(BaseModel):
    """From its fields MLflow derives the output schema."""

    masks: list[FilledMask]


class MaskedLanguageModel(PythonModel):
    """Takes strings with `[MASK]`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from the artifacts of the model version."""
        self.model = load_filler(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: list[str],
        params: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> list[Answer]:
        """An answer for each text: plain dictionaries, ready for JSON."""
        return cast(list[Answer], self.model(model_input))


set_model(MaskedLanguageModel())
