"""What surprise at masked words is worth to the gate and to comparisons; see `Scores` in stages/scoring.py."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.scoring import CHANGES, Score
from stages.statistics.bootstrap import interval
from stages.statistics.measure import Floats, Measure, divide
from stages.tasks.language_modeling.scores import metric
from stages.tasks.language_modeling.scores import predictions as files
from stages.tasks.language_modeling.scores.predictions import Predictions
from stages.text_tasks import predictions as shared

PRIMARY = metric.PRIMARY
COMPARED_BY: dict[str, str] = {}
DEV_CURVE = "dev/primary"
TEST_LABELS = True
OLD_KEYS: dict[str, str] = {}
LABEL = "masked words"  # the one that there is
MISSED, SURPRISING = "missed", "surprising"
RARE_NATS = math.log(1000)  # of a word that surprises

read_predictions, have_same_examples = files.read_predictions, files.same_examples
list_texts, find_primary = shared.list_texts, shared.find_primary


def read_labels(config: Path) -> set[str]:
    """The one label of a model; ArtifactError if its config.json is missing or names none."""
    return shared.read_names(config, noun="labels")


def find_labels(predictions: Predictions) -> set[str]:  # noqa: ARG001 - as of any task
    """The one label."""
    return {LABEL}


def have_same_answers(first: Predictions, second: Predictions) -> bool:
    """Whether both have the same surprise at the same masks."""
    return files.same_examples(first, second) and np.array_equal(first.nats_L, second.nats_L)


def keep_labels(predictions: Predictions, labels: Collection[str]) -> Predictions:  # noqa: ARG001 - there is one
    """The predictions."""
    return predictions


def measure(predictions: Predictions, name: str) -> Measure:  # noqa: ARG001 - there is one
    """The mean surprisal, of which totals over documents decide."""
    return metric.measure(predictions)


def primary(predictions: Predictions, name: str) -> dict[str, Any]:
    """The score of this name as metrics.json has it; its support is the number of documents."""
    return metric.primary(predictions, name)


def score_labels(predictions: Predictions, name: str) -> dict[str, Score]:
    """The score of the one label, with the number of documents."""
    own = measure(predictions, name)
    return {LABEL: Score(own.value, *interval(own), own.support)}


def measure_label(predictions: Predictions, label: str, name: str) -> Measure:  # noqa: ARG001 - there is one
    """The same as `measure`."""
    return measure(predictions, name)


def find_slices(predictions: Predictions) -> dict[str, pa.DictionaryArray]:  # noqa: ARG001 - as of any task
    """None: documents are what is resampled."""
    return {}


def list_changes(before: Predictions, after: Predictions, *, limit: int) -> dict[str, Any]:
    """The windows that surprise one of the two less than windows do on average, and those with other guesses.

    The average is that of both. `gold`, `first` and `second` are lists of a masked word and of what is said in its
    place.
    """
    average = float(np.concatenate([before.nats_L, after.nats_L]).mean())
    right_E, new_right_E = (_mean_nats(each) < average for each in (before, after))
    changed_E = _count_tokens(before, before.predicted_L != after.predicted_L) > 0
    kinds = {
        "broken": right_E & ~new_right_E,
        "fixed": ~right_E & new_right_E,
        "otherwise": ~right_E & ~new_right_E & changed_E,
    }
    examples = [
        {
            "kind": kind,
            "example": example + 1,
            **shared.show_texts(before, example),
            "gold": [[word, word] for word in before.show(example)[0]],
            "first": _pair(before, example),
            "second": _pair(after, example),
        }
        for kind in CHANGES
        for example in np.flatnonzero(kinds[kind])[:limit].tolist()
    ]
    counts = {kind: int(kinds[kind].sum()) for kind in CHANGES}
    return {"total": len(before.texts), "counts": counts, "examples": examples}


def mistake_kinds(predictions: Predictions) -> Sequence[str]:  # noqa: ARG001 - as of any task
    """A word is missed if another one was likelier, and surprising if it had less than one chance in a thousand."""
    return (MISSED, SURPRISING)


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """The windows with a masked word that was missed, the most surprising word first; `confidence` is its nats.

    `gold` and `predicted` are lists of a masked word and of what is said in its place, `document` is the file and the
    line where the window's document begins.
    """
    own = predictions
    missed_W = np.bincount(own.word_L, own.gold_L != own.predicted_L, len(own.words)) > 0
    most_E = np.zeros(len(own.texts))
    window_W = np.repeat(np.arange(len(own.texts)), np.diff(own.word_bounds_E))
    np.maximum.at(most_E, window_W, np.where(missed_W, own.nats_W, 0))
    return [
        {
            "example": example + 1,
            **shared.show_texts(own, example),
            "document": own.slices[files.DOCUMENT][example].as_py(),
            "gold": [[word, word] for word in own.show(example)[0]],
            "predicted": _pair(own, example),
            "kinds": [MISSED, SURPRISING] if most_E[example] > RARE_NATS else [MISSED],
            "labels": [LABEL],
            "confidence": float(most_E[example]),
        }
        for example in np.argsort(-most_E, kind="stable")[: int((most_E > 0).sum())].tolist()
    ]


def _mean_nats(predictions: Predictions) -> Floats:
    """[E] the mean surprisal of each window."""
    return divide(_count_tokens(predictions, predictions.nats_L), np.diff(predictions.bounds_E))


def _count_tokens(predictions: Predictions, values_L: npt.ArrayLike) -> Floats:
    """[E] the sum over the masked tokens of each window."""
    return np.bincount(predictions.window_L, values_L, len(predictions.texts)).astype(np.float64)


def _pair(predictions: Predictions, example: int) -> list[list[str]]:
    return [list(pair) for pair in zip(*predictions.show(example), strict=True)]
