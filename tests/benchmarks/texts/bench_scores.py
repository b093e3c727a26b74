"""Scores of a million predictions of 150 classes with all intervals, against scikit-learn's report resampled naively.

    python -m tests.benchmarks.texts.bench_scores        about a minute

The naive bootstrap calls `classification_report` for each of 1,000 resamples; it is extrapolated from three of them.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from sklearn.metrics import classification_report

from stages.tasks.text_classification.scores.metric import scores
from stages.tasks.text_classification.scores.predictions import Predictions

EXAMPLES, CLASSES, RESAMPLES = 1_000_000, 150, 1000
WRONG = 0.1
ROUNDS = 3


def main() -> None:
    """Print seconds and the ratio."""
    generator = np.random.default_rng(13)
    gold_E = generator.integers(0, CLASSES, EXAMPLES)
    predicted_E = np.where(generator.random(EXAMPLES) < WRONG, generator.integers(0, CLASSES, EXAMPLES), gold_E)
    labels = tuple(f"label{number:03}" for number in range(CLASSES))
    classes = np.arange(CLASSES)
    found = Predictions(
        texts=pa.nulls(EXAMPLES, pa.string()),
        pairs=None,
        labels=labels,
        gold_EC=gold_E[:, None] == classes,
        probability_EC=np.zeros((EXAMPLES, 0), np.float32),
        predicted_EC=predicted_E[:, None] == classes,
        windows_E=np.ones(EXAMPLES, np.int64),
        slices={},
    )
    ours = statistics.median(seconds(lambda: scores(found)) for _ in range(ROUNDS))

    def resample_naively() -> None:
        chosen_E = generator.integers(0, EXAMPLES, EXAMPLES)
        classification_report(gold_E[chosen_E], predicted_E[chosen_E], output_dict=True, zero_division=0)

    report = statistics.median(seconds(resample_naively) for _ in range(ROUNDS))
    print(f"Tuneline, all scores and intervals {ours:8.1f} s")
    print(f"scikit-learn, one resample         {report:8.1f} s")
    print(f"the naive bootstrap of {RESAMPLES:,}       {report * RESAMPLES:8.0f} s, extrapolated from {ROUNDS}")
    print(f"ratio                              {report * RESAMPLES / ours:8.0f}")


def seconds(run: Callable[[], object]) -> float:
    """How long `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
