"""A trained model applied to texts as they arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import EncodedTexts, texts_of
from stages.modeling.classifier import labels_of
from stages.tasks.regression.model.inference import INFERENCE_BATCH_TOKENS, predict_numbers
from stages.tasks.regression.scores.predictions import Predictions
from stages.training.trained_model import TrainedModel, load_trained


@dataclass(frozen=True)
class Regressor:
    """A trained model with the encoder that it needs to read texts."""

    trained: TrainedModel
    encoder: TextEncoder

    @classmethod
    def load(cls, folder: Path) -> "Regressor":
        """Load data/model, or a copy of it, on the best device of this machine."""
        trained = load_trained(folder)
        window, task = trained.record.parameters["tokenize"], trained.record.parameters["task"]
        return cls(
            trained,
            TextEncoder(
                trained.tokenizer,
                length=window["window_length"],
                overlap=window["window_overlap"],
                symmetric=task["symmetric"],
            ),
        )

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, float]]:
        """For each input the number of each target, by its name, in the user's unit.

        An input is a string, or `{"text", "pair"}` for a model of pairs; UserError if it is anything else.
        """
        if not inputs:
            return []
        rows = self.encoder.encode_inputs(inputs, pairs=getattr(self.trained.model.config, "text_pair", False))
        found = self.predict(texts_of(rows))
        return [dict(zip(found.targets, map(float, numbers_D), strict=True)) for numbers_D in found.predicted_ED]

    def predict(self, texts: EncodedTexts) -> Predictions:
        """The numbers of encoded texts."""
        trained = self.trained
        return predict_numbers(
            trained.model,
            texts,
            trained.compute,
            batch_tokens=INFERENCE_BATCH_TOKENS,
            targets=labels_of(trained.model),
            task=trained.record.parameters["task"],
            decision=trained.record.decision,
        )
