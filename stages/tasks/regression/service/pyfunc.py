"""The pyfunc model: MLflow runs this file when it loads a model version, so that nothing is pickled.

mlflow.pyfunc.load_model("models:/demo-severity@challenger").predict(["The delivery was late again."])
"""

from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from stages.errors import UserError
from stages.tasks.regression.service.predictor import Regressor


class ServedRegressor(PythonModel):
    """Takes strings, or `{"text", "pair"}`; returns the number of each target by its name."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from the artifacts of the model version."""
        self.model = Regressor.load(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: list[Any],
        params: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> list[dict[str, float]]:
        """An answer for each input, ready for JSON; a malformed input is the client's fault."""
        try:
            return self.model(model_input)
        except UserError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None


set_model(ServedRegressor())
