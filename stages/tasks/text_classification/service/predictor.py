"""A trained model applied to texts as they arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.tasks.text_classification.model.inference import decide
from stages.text_tasks.serving import TextModel


@dataclass(frozen=True)
class Classifier:
    """A trained model that reads texts as they arrive."""

    text_model: TextModel

    def __call__(self, inputs: Sequence[Any], *, all_scores: bool = False) -> list[dict[str, Any]]:
        """`label` and its calibrated `score` for each input; with several labels a text, `labels`, a list of these.

        An input is a string, or `{"text", "pair"}` for a model of pairs; UserError if it is anything else. With
        `all_scores` there is also `scores`, that of each label.
        """
        if not inputs:
            return []
        found = self.text_model.predict_inputs(inputs, decide)
        answers = []
        for predicted_C, probability_C in zip(found.predicted_EC, found.probability_EC, strict=True):
            scores = {label: float(score) for label, score in zip(found.labels, probability_C, strict=True)}
            chosen = [label for label, is_chosen in zip(found.labels, predicted_C, strict=True) if is_chosen]
            labelled = [{"label": label, "score": scores[label]} for label in sorted(chosen, key=lambda x: -scores[x])]
            answer: dict[str, Any] = {"labels": labelled} if found.is_multi_label else dict(labelled[0])
            answers.append(answer | {"scores": scores} if all_scores else answer)
        return answers
