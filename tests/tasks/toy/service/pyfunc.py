from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from stages.tasks.toy.model.head import decide

from stages.text_tasks.serving import load_text_model


class ServedToy(PythonModel):
    def load_context(self, context: PythonModelContext) -> None:
        self.model = load_text_model(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: list[str],
        params: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> list[int]:
        return self.model.predict_inputs(model_input, decide).predicted_E.astype(int).tolist()


set_model(ServedToy())
