"""The pyfunc model: MLflow runs this file when it loads a model version, so that nothing is pickled.

mlflow.pyfunc.load_model("models:/demo-ner@challenger").predict(["Angela Merkel visited Siemens in Munich."])
"""

from pathlib import Path
from typing import Any, cast

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel

from stages.tasks.token_classification.presentation import DOCUMENTS
from stages.tasks.token_classification.service.predictor import Recognizer


class Entity(BaseModel):
    """The fields of one entity, from which MLflow derives the model's output schema."""

    text: str
    type: str
    start: int
    end: int
    score: float


class EntityRecognizer(PythonModel):
    """Takes strings and returns a list of entities for each: text, type, start, end, score.

    With the parameter `documents` the strings are the sentences of one document after another, with an empty one
    between two documents. They stay strings, for MLflow checks inputs only if all of them are of one type.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from the artifacts of the model version."""
        self.recognizer = Recognizer.load(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: list[str],
        params: dict[str, Any] | None = None,
    ) -> list[list[Entity]]:
        """Entities of each text as plain dictionaries, ready for JSON; `start` and `end` count characters."""
        documents = bool((params or {}).get(DOCUMENTS))
        return cast(list[list[Entity]], self.recognizer(model_input, documents=documents))


set_model(EntityRecognizer())
