"""The pyfunc model: MLflow runs this file when it loads a model version, so that nothing is pickled.

mlflow.pyfunc.load_model("models:/demo-sentiment@challenger").predict(["The delivery was late again."])
"""

from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from stages.errors import UserError
from stages.tasks.text_classification.service.predictor import Classifier


class ServedClassifier(PythonModel):
    """Takes strings, or `{"text", "pair"}`; returns `label` and `score` of each, or `labels`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from the artifacts of the model version."""
        self.model = Classifier.load(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: list[Any],
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """An answer for each input, ready for JSON; a malformed input is the client's fault."""
        try:
            return self.model(model_input, all_scores=bool(params and params.get("all_scores")))
        except UserError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None


set_model(ServedClassifier())
