"""A trained model applied to texts as they arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.encoding.texts import EncodedTexts
from stages.modeling.classifier import labels_of
from stages.tasks.text_classification.model.inference import INFERENCE_BATCH_TOKENS, predict_texts
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.training.trained_model import TextModel, load_text_model


@dataclass(frozen=True)
class Classifier:
    """A trained model that reads texts as they arrive."""

    text_model: TextModel

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Load data/model, or a copy of it, on the best device of this machine."""
        return cls(load_text_model(folder))

    def __call__(self, inputs: Sequence[Any], *, all_scores: bool = False) -> list[dict[str, Any]]:
        """`label` and its calibrated `score` for each input; with several labels a text, `labels`, a list of these.

        An input is a string, or `{"text", "pair"}` for a model of pairs; UserError if it is anything else. With
        `all_scores` there is also `scores`, that of each label.
        """
        if not inputs:
            return []
        found = self.predict(self.text_model.encode_inputs(inputs))
        answers = []
        for predicted_C, probability_C in zip(found.predicted_EC, found.probability_EC, strict=True):
            scores = {label: float(score) for label, score in zip(found.labels, probability_C, strict=True)}
            chosen = [label for label, is_chosen in zip(found.labels, predicted_C, strict=True) if is_chosen]
            labelled = [{"label": label, "score": scores[label]} for label in sorted(chosen, key=lambda x: -scores[x])]
            answer: dict[str, Any] = {"labels": labelled} if found.is_multi_label else dict(labelled[0])
            answers.append(answer | {"scores": scores} if all_scores else answer)
        return answers

    def predict(self, texts: EncodedTexts) -> Predictions:
        """The labels of encoded texts."""
        trained = self.text_model.trained
        return predict_texts(
            trained.model,
            texts,
            trained.compute,
            batch_tokens=INFERENCE_BATCH_TOKENS,
            labels=labels_of(trained.model),
            task=trained.record.parameters["task"],
            decision=trained.record.decision,
        )
