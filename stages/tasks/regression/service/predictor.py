"""A trained model applied to texts as they arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.tasks.regression.model.inference import decide
from stages.text_tasks.serving import TextModel


@dataclass(frozen=True)
class Regressor:
    """A trained model that reads texts as they arrive."""

    text_model: TextModel

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """`target`, `number`, and `unit` if there is one, for each input; of several targets `numbers`, a list.

        An input is a string, or `{"text", "pair"}` for a model of pairs; UserError if it is anything else.
        """
        if not inputs:
            return []
        found = self.text_model.predict_inputs(inputs, decide)
        unit = self.text_model.trained.record.parameters["task"]["unit"]
        in_unit = {} if unit is None else {"unit": unit}
        answers = []
        for predicted_D in found.predicted_ED:
            numbers = [
                {"target": target, "number": float(number), **in_unit}
                for target, number in zip(found.targets, predicted_D, strict=True)
            ]
            answers.append(numbers[0] if len(numbers) == 1 else {"numbers": numbers})
        return answers
