"""What classified texts are worth to the gate and to comparisons; see `Scores` in stages/scoring.py.

Shape legend: E examples, C labels.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.scoring import CHANGES, Score
from stages.statistics.bootstrap import interval
from stages.statistics.measure import Measure, Truths, f1_measure
from stages.tasks.text_classification.scores import metric
from stages.tasks.text_classification.scores import predictions as files
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.text_tasks import predictions as shared

PRIMARY = "macro_f1"
COMPARED_BY = {"mean_average_precision": "micro_f1"}
DEV_CURVE = "dev/primary"
TEST_LABELS = True
OLD_KEYS: dict[str, str] = {}
WRONG, MISSED, SPURIOUS = "wrong", "missed", "spurious"

read_predictions, have_same_examples = files.read_predictions, files.same_examples
list_texts, find_slices, find_primary = shared.list_texts, shared.find_slices, shared.find_primary


@dataclass(frozen=True)
class Restricted(Predictions):
    """Texts with one label each, which is one of `compared`; any other predicted label is wrong."""

    compared: tuple[str, ...] = ()


def read_labels(config: Path) -> set[str]:
    """The labels that a model knows, by its config.json; ArtifactError if the file is missing or names none."""
    return shared.read_names(config, noun="labels")


def find_labels(predictions: Predictions) -> set[str]:
    """The labels that occur, gold or predicted."""
    occurs_C: Truths = np.logical_or.reduce(predictions.gold_EC | predictions.predicted_EC, axis=0)
    return {label for label, occurs in zip(predictions.labels, occurs_C, strict=True) if occurs}


def have_same_answers(first: Predictions, second: Predictions) -> bool:
    """Whether both predict the same labels for the same texts, in the same order."""
    same_labels = _name_sets(first, "predicted") == _name_sets(second, "predicted")
    return same_labels and shared.have_same_texts(first, second)


def keep_labels(predictions: Predictions, labels: Collection[str]) -> Predictions:
    """The predictions as if there were only these labels.

    With one label a text, the texts with other gold labels are left out, and another predicted label is wrong. With
    several, the other labels are left out of each set.
    """
    kept_C = np.array([label in labels for label in predictions.labels], dtype=bool)
    if kept_C.all():
        return predictions
    if predictions.thresholds is not None:
        return replace(
            predictions,
            labels=tuple(label for label in predictions.labels if label in labels),
            gold_EC=predictions.gold_EC[:, kept_C],
            predicted_EC=predictions.predicted_EC[:, kept_C],
            probability_EC=predictions.probability_EC[:, kept_C],
            thresholds=tuple(t for t, kept in zip(predictions.thresholds, kept_C, strict=True) if kept),
        )
    kept_E = predictions.gold_EC[:, kept_C].any(1)
    chosen = pa.array(kept_E)
    selected: dict[str, Any] = {
        "texts": predictions.texts.filter(chosen),
        "pairs": None if predictions.pairs is None else predictions.pairs.filter(chosen),
        "slices": {name: values.filter(chosen) for name, values in predictions.slices.items()},
        **{
            name: getattr(predictions, name)[kept_E]
            for name in ("gold_EC", "predicted_EC", "probability_EC", "windows_E")
        },
    }
    unchanged = {field.name: getattr(predictions, field.name) for field in fields(Predictions)}
    return Restricted(**unchanged | selected, compared=tuple(sorted(set(labels) & set(predictions.labels))))


def primary(predictions: Predictions, name: str) -> dict[str, Any]:
    """The score of this name as metrics.json has it; its support is the number of texts."""
    found = measure(predictions, COMPARED_BY.get(name, name))
    value, (low, high) = found.value, interval(found)
    if name in COMPARED_BY:
        overall = metric.scores(predictions)["overall"]
        value, low, high = (overall[f"{name}{end}"] for end in ("", "_low", "_high"))
    return {"name": name, "value": value, "low": low, "high": high, "support": found.support}


def measure(predictions: Predictions, name: str) -> Measure:
    """The score of this name as a function of totals over the texts."""
    return metric.primary_measure(predictions, name, _compared_labels(predictions))


def score_labels(predictions: Predictions, name: str) -> dict[str, Score]:
    """The F1 of each label that occurs."""
    rows = {}
    for label in sorted(find_labels(predictions) & set(_compared_labels(predictions))):
        found = measure_label(predictions, label, name)
        support = int(predictions.gold_EC[:, predictions.labels.index(label)].sum())
        rows[label] = Score(found.value, *interval(found), support)
    return rows


def measure_label(predictions: Predictions, label: str, name: str) -> Measure:  # noqa: ARG001 - as all tasks have it
    """The F1 of a label as a function of its correct, predicted and gold texts."""
    column = predictions.labels.index(label)
    gold_E, predicted_E = predictions.gold_EC[:, column], predictions.predicted_EC[:, column]
    return f1_measure(np.stack([gold_E & predicted_E, predicted_E, gold_E]).astype(np.int64))


def list_changes(before: Predictions, after: Predictions, *, limit: int) -> dict[str, Any]:
    """The texts with other predicted labels; `gold`, `first` and `second` are lists of labels."""
    gold, first, second = _name_sets(before, "gold"), _name_sets(before, "predicted"), _name_sets(after, "predicted")
    counts, examples = dict.fromkeys(CHANGES, 0), []
    for example, answers in enumerate(zip(gold, first, second, strict=True)):
        right, old, new = answers
        if old == new:
            continue
        kind = "broken" if old == right else "fixed" if new == right else "otherwise"
        counts[kind] += 1
        if counts[kind] <= limit:
            sides = dict(zip(("gold", "first", "second"), answers, strict=True))
            examples.append({"kind": kind, "example": example + 1, **shared.show_texts(before, example), **sides})
    examples.sort(key=lambda entry: CHANGES.index(entry["kind"]))
    return {"total": len(gold), "counts": counts, "examples": examples}


def mistake_kinds(predictions: Predictions) -> Sequence[str]:
    """A text with one label is wrong; of several, some are missed and some spurious."""
    return (MISSED, SPURIOUS) if predictions.is_multi_label else (WRONG,)


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """The texts with wrong labels, the most confident first; `predicted` are labels with their probabilities.

    The confidence is that of the most probable wrong label, or of the absence of the most improbable missed one.
    """
    missed_EC = predictions.gold_EC & ~predictions.predicted_EC
    spurious_EC = predictions.predicted_EC & ~predictions.gold_EC
    probability_EC = predictions.probability_EC.astype(np.float64)
    wrong_EC = spurious_EC if not predictions.is_multi_label else spurious_EC | missed_EC
    confidence_EC = np.where(spurious_EC, probability_EC, 1 - probability_EC)
    confidence_E = np.where(wrong_EC, confidence_EC, 0.0).max(1, initial=0.0)
    examples = np.flatnonzero((missed_EC | spurious_EC).any(1))
    listed = []
    for example in examples[np.argsort(-confidence_E[examples], kind="stable")].tolist():
        kinds = [MISSED] * bool(missed_EC[example].any()) + [SPURIOUS] * bool(spurious_EC[example].any())
        listed.append(
            {
                "example": example + 1,
                **shared.show_texts(predictions, example),
                "gold": _names(predictions, predictions.gold_EC[example]),
                "predicted": [
                    [predictions.labels[label], float(probability_EC[example, label])]
                    for label in np.flatnonzero(predictions.predicted_EC[example])
                ],
                "kinds": kinds if predictions.is_multi_label else [WRONG],
                "labels": sorted(_names(predictions, missed_EC[example] | spurious_EC[example])),
                "confidence": float(confidence_E[example]),
            }
        )
    return listed


def _compared_labels(predictions: Predictions) -> list[str]:
    """The labels that count: those of a restriction, else those that the model knows or a gold answer has."""
    if isinstance(predictions, Restricted):
        return list(predictions.compared)
    known_EC = predictions.gold_EC | predictions.predicted_EC | (predictions.probability_EC > 0)
    known_C: Truths = np.logical_or.reduce(known_EC, axis=0)
    return [label for label, is_known in zip(predictions.labels, known_C, strict=True) if is_known]


def _name_sets(predictions: Predictions, side: str) -> list[list[str]]:
    """The labels of each text, gold or predicted, in alphabetical order."""
    return [sorted(_names(predictions, chosen_C)) for chosen_C in getattr(predictions, f"{side}_EC")]


def _names(predictions: Predictions, chosen_C: Truths) -> list[str]:
    return [predictions.labels[label] for label in np.flatnonzero(chosen_C)]
