"""What a report says of the masked words of a split.

Shape legend: E windows, L masked tokens, V tokens of the vocabulary.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.reporting.evaluation import MAX_MISTAKES
from stages.statistics.measure import Floats, Numbers
from stages.tasks.language_modeling.scores import metric, scoring
from stages.tasks.language_modeling.scores.predictions import Predictions

BANDS = ((0, "0"), (1, "1 to 9"), (10, "10 to 99"), (100, "100 to 999"), (1000, "1,000 or more"))  # times in train


def count_tokens(input_ids: npt.NDArray[np.int32], vocabulary: int) -> Numbers:
    """[V] how often each token occurs in train."""
    return np.bincount(input_ids, minlength=vocabulary)


def analyze(predictions: Predictions, count_V: Numbers) -> dict[str, Any]:
    """All that is said of a split.

    `by_frequency` has the surprise at tokens that are as frequent in train as each of BANDS. `unigram` is that of a
    model that knows these frequencies alone, each raised by one.
    """
    own = predictions
    band_L = np.searchsorted([least for least, _ in BANDS], count_V[own.gold_L], side="right") - 1
    mistakes = scoring.list_mistakes(own)
    unigram_V: Floats = -np.log((count_V + 1) / (count_V + 1).sum())
    return {
        "primary": metric.primary(own),
        "is_error": True,
        "texts": len(own.texts),
        "scores": metric.scores(own),
        "unigram": float(unigram_V[own.gold_L].mean()),
        "by_frequency": {
            name: _describe_tokens(own, np.flatnonzero(band_L == number)) for number, (_, name) in enumerate(BANDS)
        },
        "mistakes": mistakes[:MAX_MISTAKES],
        "mistake_count": len(mistakes),
    }


def list_metrics(analysis: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an analysis that can be compared between runs, as metrics.json has them."""
    return {
        "primary": analysis["primary"],
        **analysis["scores"],
        "unigram": analysis["unigram"],
        "by_frequency": analysis["by_frequency"],
    }


def _describe_tokens(predictions: Predictions, chosen: Numbers) -> dict[str, float]:
    """Surprise and accuracy at some masked tokens, and their number."""
    if not len(chosen):
        return {"value": 0.0, "accuracy": 0.0, "support": 0}
    is_right_L = predictions.gold_L[chosen] == predictions.predicted_L[chosen]
    return {
        "value": float(predictions.nats_L[chosen].mean()),
        "accuracy": float(is_right_L.mean()),
        "support": len(chosen),
    }
