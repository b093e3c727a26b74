"""What a report says of a split of texts, whatever is predicted."""

from typing import Any

from stages.reporting.evaluation import MAX_MISTAKES
from stages.scoring import Scores
from stages.statistics.lengths import SEVERAL, list_lengths, slice_by_length, slice_by_windows
from stages.statistics.slices import score_slices
from stages.text_tasks.predictions import TextPredictions


def analyze_split(scoring: Scores, predictions: TextPredictions, name: str, tables: dict[str, Any]) -> dict[str, Any]:
    """All that is said of texts by the primary score of this name; `tables` are the `scores` of the task.

    `by_length`, `by_windows` and `slices` are rows of `score_slices`, of the score that `scoring.COMPARED_BY` has in
    place of the primary one; `long_texts` the row of texts of several windows, or None; `mistakes` the first of
    `mistake_count`.
    """
    measure = scoring.measure(predictions, scoring.COMPARED_BY.get(name, name))
    lengths = score_slices(measure, {"length": slice_by_length(predictions.texts, predictions.pairs)})["length"]
    windows = score_slices(measure, {"windows": slice_by_windows(predictions.windows_E)})["windows"]
    mistakes = scoring.list_mistakes(predictions)
    return {
        "primary": scoring.primary(predictions, name),
        "is_error": measure.is_error,
        "texts": len(predictions.texts),
        "scores": tables,
        "by_length": {label: lengths[label] for label in list_lengths() if label in lengths},
        "by_windows": windows,
        "long_texts": windows.get(SEVERAL),
        "slices": score_slices(measure, predictions.slices),
        "mistakes": mistakes[:MAX_MISTAKES],
        "mistake_count": len(mistakes),
    }


def list_metrics(analysis: dict[str, Any], **own: Any) -> dict[str, Any]:
    """The numbers of an analysis that can be compared between runs, as metrics.json has them; `own` are the task's."""
    return {
        "primary": analysis["primary"],
        "texts": analysis["texts"],
        **analysis["scores"],
        **own,
        **{key: analysis[key] for key in ("baselines", "long_texts", "by_length", "slices")},
    }
