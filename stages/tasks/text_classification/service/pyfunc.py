"""The pyfunc model: MLflow runs this file when it loads a model version, so that nothing is pickled.

mlflow.pyfunc.load_model("models:/demo-sentiment@challenger").predict(["The delivery was late again."])
"""

from pathlib import Path
from typing import Any, cast

from mlflow.models import ModelConfig, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel

from stages.reporting.pairs import READS_PAIRS, TextPair
from stages.tasks.text_classification.service.predictor import Classifier
from stages.text_tasks.serving import load_text_model


class Label(BaseModel):
    """A label with its calibrated probability."""

    label: str
    score: float


class Answer(BaseModel):
    """From its fields MLflow derives the output schema: `label` and `score`, or else `labels`; `scores` on request."""

    label: str | None = None
    score: float | None = None
    labels: list[Label] | None = None
    scores: dict[str, float] | None = None


class Served(PythonModel):
    """What both classifiers share."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from the artifacts of the model version."""
        self.model = Classifier(load_text_model(Path(context.artifacts["model"])))

    def answer(self, inputs: list[Any], params: dict[str, Any] | None) -> list[Answer]:
        """Plain dictionaries, ready for JSON."""
        return cast(list[Answer], self.model(inputs, all_scores=bool((params or {}).get("all_scores"))))


class TextClassifier(Served):
    """Takes strings."""

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: list[str],
        params: dict[str, Any] | None = None,
    ) -> list[Answer]:
        """An answer for each text."""
        return self.answer(model_input, params)


class PairClassifier(Served):
    """Takes `{"text", "pair"}`."""

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - likewise
        model_input: list[TextPair],
        params: dict[str, Any] | None = None,
    ) -> list[Answer]:
        """An answer for each pair of texts."""
        return self.answer([dict(each) for each in model_input], params)


set_model(PairClassifier() if ModelConfig().to_dict()[READS_PAIRS] else TextClassifier())
