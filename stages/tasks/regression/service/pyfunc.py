"""The pyfunc model: MLflow runs this file when it loads a model version, so that nothing is pickled.

mlflow.pyfunc.load_model("models:/demo-severity@challenger").predict(["The delivery was late again."])
"""

from pathlib import Path
from typing import Any, cast

from mlflow.models import ModelConfig, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel

from stages.reporting.pairs import READS_PAIRS, TextPair
from stages.tasks.regression.service.predictor import Regressor
from stages.text_tasks.serving import load_text_model


class Number(BaseModel):
    """A number of a target, in the user's unit."""

    target: str
    number: float
    unit: str | None = None


class Answer(BaseModel):
    """From its fields MLflow derives the output schema: those of a number, or else `numbers`."""

    target: str | None = None
    number: float | None = None
    unit: str | None = None
    numbers: list[Number] | None = None


class Served(PythonModel):
    """What both models share."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from the artifacts of the model version."""
        self.model = Regressor(load_text_model(Path(context.artifacts["model"])))

    def answer(self, inputs: list[Any]) -> list[Answer]:
        """Plain dictionaries, ready for JSON."""
        return cast(list[Answer], self.model(inputs))


class TextRegressor(Served):
    """Takes strings."""

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: list[str],
        params: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> list[Answer]:
        """An answer for each text."""
        return self.answer(model_input)


class PairRegressor(Served):
    """Takes `{"text", "pair"}`."""

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - likewise
        model_input: list[TextPair],
        params: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> list[Answer]:
        """An answer for each pair of texts."""
        return self.answer([dict(each) for each in model_input])


set_model(PairRegressor() if ModelConfig().to_dict()[READS_PAIRS] else TextRegressor())
