"""What predicted numbers are worth to the gate and to comparisons; see `Scores` in stages/scoring.py.

Shape legend: E examples, D targets.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.scoring import CHANGES, Score
from stages.statistics.bootstrap import interval
from stages.statistics.measure import Floats, Measure
from stages.tasks.regression.scores import metric
from stages.tasks.regression.scores import predictions as files
from stages.tasks.regression.scores.predictions import Predictions
from stages.text_tasks import predictions as shared

PRIMARY = "pearson"
COMPARED_BY = {"spearman": "pearson"}
DEV_CURVE = "dev/primary"
TEST_LABELS = True
OLD_KEYS: dict[str, str] = {}
TOLERANCE = 0.5  # of the deviation of the gold numbers of a target: an answer within it counts as right
HIGH, LOW = "too_high", "too_low"

read_predictions, have_same_examples = files.read_predictions, files.same_examples
list_texts, find_slices, find_primary = shared.list_texts, shared.find_slices, shared.find_primary


def read_labels(config: Path) -> set[str]:
    """The targets that a model predicts, by its config.json; ArtifactError if the file is missing or names none."""
    return shared.read_names(config, noun="targets")


def find_labels(predictions: Predictions) -> set[str]:
    """The targets."""
    return set(predictions.targets)


def have_same_answers(first: Predictions, second: Predictions) -> bool:
    """Whether both predict the same numbers for the same texts, in the same order."""
    one, other = (keep_labels(each, each.targets) for each in (first, second))
    same_numbers = one.targets == other.targets and np.array_equal(one.predicted_ED, other.predicted_ED)
    return same_numbers and shared.have_same_texts(one, other)


def keep_labels(predictions: Predictions, labels: Collection[str]) -> Predictions:
    """The predictions as if there were only these targets, in alphabetical order."""
    targets = tuple(sorted(set(labels) & set(predictions.targets)))
    columns = [predictions.targets.index(target) for target in targets]
    gold_ED, predicted_ED = predictions.gold_ED[:, columns], predictions.predicted_ED[:, columns]
    return replace(predictions, targets=targets, gold_ED=gold_ED, predicted_ED=predicted_ED)


def primary(predictions: Predictions, name: str) -> dict[str, Any]:
    """The score of this name as metrics.json has it; its support is the number of texts."""
    if name not in COMPARED_BY:
        return metric.primary(predictions, name)
    overall = metric.scores(predictions)["overall"]
    value, low, high = (overall[f"{name}{end}"] for end in ("", "_low", "_high"))
    return {"name": name, "value": value, "low": low, "high": high, "support": overall["support"]}


def measure(predictions: Predictions, name: str) -> Measure:
    """The score of this name as a function of totals over the texts."""
    return metric.primary_measure(keep_labels(predictions, predictions.targets), name)


def score_labels(predictions: Predictions, name: str) -> dict[str, Score]:
    """The score of this name for each target."""
    measures = {target: measure_label(predictions, target, name) for target in sorted(predictions.targets)}
    return {target: Score(own.value, *interval(own), own.support) for target, own in measures.items()}


def measure_label(predictions: Predictions, label: str, name: str) -> Measure:
    """The score of this name for a target."""
    return metric.primary_measure(keep_labels(predictions, [label]), name)


def list_changes(before: Predictions, after: Predictions, *, limit: int) -> dict[str, Any]:
    """The texts for which a number comes within the tolerance or leaves it, or moves by more outside it.

    `gold`, `first` and `second` are lists of a target and its number.
    """
    before, after = (keep_labels(each, each.targets) for each in (before, after))
    room_D = _find_room(before)
    right_E, new_right_E = ((abs(each.predicted_ED - each.gold_ED) <= room_D).all(1) for each in (before, after))
    moved_E = (abs(after.predicted_ED - before.predicted_ED) > room_D).any(1)
    kinds = {
        "broken": right_E & ~new_right_E,
        "fixed": ~right_E & new_right_E,
        "otherwise": ~right_E & ~new_right_E & moved_E,
    }
    sides = {"gold": before.gold_ED, "first": before.predicted_ED, "second": after.predicted_ED}
    examples = [
        {
            "kind": kind,
            "example": example + 1,
            **shared.show_texts(before, example),
            **{side: _name_numbers(before, numbers_ED[example]) for side, numbers_ED in sides.items()},
        }
        for kind in CHANGES
        for example in np.flatnonzero(kinds[kind])[:limit].tolist()
    ]
    counts = {kind: int(kinds[kind].sum()) for kind in CHANGES}
    return {"total": len(before.gold_ED), "counts": counts, "examples": examples}


def mistake_kinds(predictions: Predictions) -> Sequence[str]:  # noqa: ARG001 - as of any task
    """A number is too high or too low."""
    return (HIGH, LOW)


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """The texts with a number outside the tolerance, the farthest first; `confidence` is its distance in tolerances."""
    error_ED = predictions.predicted_ED - predictions.gold_ED
    distance_ED = abs(error_ED) / _find_room(predictions)
    distance_E = distance_ED.max(1, initial=0.0)
    listed = []
    for example in np.argsort(-distance_E, kind="stable")[: int((distance_E > 1).sum())].tolist():
        wrong = np.flatnonzero(distance_ED[example] > 1)
        listed.append(
            {
                "example": example + 1,
                **shared.show_texts(predictions, example),
                "gold": _name_numbers(predictions, predictions.gold_ED[example]),
                "predicted": _name_numbers(predictions, predictions.predicted_ED[example]),
                "kinds": sorted({HIGH if error_ED[example, target] > 0 else LOW for target in wrong}),
                "labels": sorted(predictions.targets[target] for target in wrong),
                "confidence": float(distance_E[example]),
            }
        )
    return listed


def _find_room(predictions: Predictions) -> Floats:
    """How far from gold the number of each target may be, [D]; almost nothing where gold is constant."""
    gold_ED = predictions.gold_ED
    spread_D: Floats = gold_ED.std(0) if len(gold_ED) else np.ones(gold_ED.shape[1])
    return np.maximum(TOLERANCE * spread_D, np.finfo(np.float64).tiny)


def _name_numbers(predictions: Predictions, numbers_D: Floats) -> list[list[Any]]:
    return [[target, number] for target, number in zip(predictions.targets, numbers_D.tolist(), strict=True)]
