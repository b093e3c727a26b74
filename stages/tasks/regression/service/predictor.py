"""A trained model applied to texts as they arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.encoding.texts import EncodedTexts
from stages.modeling.classifier import labels_of
from stages.tasks.regression.model.inference import INFERENCE_BATCH_TOKENS, predict_numbers
from stages.tasks.regression.scores.predictions import Predictions
from stages.training.trained_model import TextModel, load_text_model


@dataclass(frozen=True)
class Regressor:
    """A trained model that reads texts as they arrive."""

    text_model: TextModel

    @classmethod
    def load(cls, folder: Path) -> "Regressor":
        """Load data/model, or a copy of it, on the best device of this machine."""
        return cls(load_text_model(folder))

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """`target`, `number`, and `unit` if there is one, for each input; of several targets `numbers`, a list.

        An input is a string, or `{"text", "pair"}` for a model of pairs; UserError if it is anything else.
        """
        if not inputs:
            return []
        found = self.predict(self.text_model.encode_inputs(inputs))
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

    def predict(self, texts: EncodedTexts) -> Predictions:
        """The numbers of encoded texts."""
        trained = self.text_model.trained
        return predict_numbers(
            trained.model,
            texts,
            trained.compute,
            batch_tokens=INFERENCE_BATCH_TOKENS,
            targets=labels_of(trained.model),
            task=trained.record.parameters["task"],
            decision=trained.record.decision,
        )
