"""The section `task` of params.yaml: labels for each text."""

from typing import Literal

from pydantic import field_validator, model_validator

from stages.params import Section, TaskParams

SingleLabelScore = Literal["macro_f1", "micro_f1", "weighted_f1", "accuracy", "matthews"]
MultiLabelScore = Literal["macro_f1", "micro_f1", "weighted_f1", "exact_match"]


class ClassificationParams(TaskParams):
    """How texts are classified."""

    name: Literal["text_classification"]
    multi_label: bool
    class_weights: Literal["none", "balanced"]
    pooling: Literal["mean", "first"]
    symmetric: bool
    thresholds: Literal["per_label", "shared"]
    primary: SingleLabelScore | MultiLabelScore

    @field_validator("primary", mode="before")
    @classmethod
    def _can_be_compared(cls, name: object) -> object:
        if name == "mean_average_precision":
            raise ValueError(
                "mean_average_precision is reported, but no paired test compares two models by it: "
                "take micro_f1 or macro_f1"
            )
        return name

    @model_validator(mode="after")
    def _fits_the_number_of_labels(self) -> "ClassificationParams":
        faults = []
        if self.multi_label and self.class_weights != "none":
            faults.append("class_weights must be none if multi_label is true: each label is a question of its own")
        if self.multi_label and self.primary in ("accuracy", "matthews"):
            faults.append(
                f"primary {self.primary} needs one label a text; with multi_label take macro_f1 or exact_match"
            )
        if not self.multi_label and self.primary == "exact_match":
            faults.append("primary exact_match needs multi_label: true; with one label take macro_f1 or accuracy")
        if faults:
            raise ValueError("; ".join(faults))
        return self


SECTIONS: dict[str, type[Section]] = {"task": ClassificationParams}
