"""Predictions of masked words that are drawn, and reports on them."""

from typing import Any

import numpy as np
import pyarrow as pa

from stages.reporting.evaluation import Report
from stages.tasks.language_modeling.report.analysis import analyze, list_metrics
from stages.tasks.language_modeling.report.evaluation import describe_scores
from stages.tasks.language_modeling.scores.predictions import IDS, Predictions
from tests.tasks.reports import LEARNING

VOCABULARY = 50
COUNTS = np.arange(VOCABULARY) * 30  # in train


def windows_of(windows: int = 60, *, seed: int = 1, better_by: float = 0.0, word: str = "word") -> Predictions:
    """Windows of two or three masked tokens, three windows to a document; every third token goes on with a word.

    Surprise is the same for the same seed, but for what a model is better by.
    """
    generator = np.random.default_rng(seed)
    counts_E = 2 + np.arange(windows) % 2
    bounds_E = np.append(0, np.cumsum(counts_E))
    masked = int(bounds_E[-1])
    window_L = np.repeat(np.arange(windows), counts_E)
    place_L = np.arange(masked) - bounds_E[window_L] + 1
    gold_L = generator.integers(5, VOCABULARY, masked)
    nats_L = generator.gamma(2.0, 2.0, masked) * (1 - better_by * generator.uniform(0, 2, masked))
    word_L = np.cumsum(place_L != 3) - 1
    words = [f"{word} {number}" for number in range(word_L[-1] + 1)]
    is_right_L = nats_L < 1
    is_right_W = np.bincount(word_L, ~is_right_L) == 0
    return Predictions(
        texts=pa.array([f"text {number} with {word}" for number in range(windows)], pa.string()),
        pairs=None,
        windows_E=np.ones(windows, np.int64),
        slices={"document": pa.array([f"a.txt:{number // 3}" for number in range(windows)]).dictionary_encode()},
        input_ids=pa.array([[2, *[4] * count, 3] for count in counts_E.tolist()], IDS),
        bounds_E=bounds_E,
        place_L=place_L,
        gold_L=gold_L,
        predicted_L=np.where(is_right_L, gold_L, 5 + (gold_L - 4) % (VOCABULARY - 5)),
        nats_L=nats_L,
        word_L=word_L,
        words=pa.array(words),
        guesses=pa.array([own if right else f"no {own}" for own, right in zip(words, is_right_W, strict=True)]),
        tokenizer_digest="a",
    )


def metrics_of(predictions: Predictions) -> dict[str, Any]:
    """The metrics of these predictions for both splits."""
    return dict.fromkeys(("test", "dev"), list_metrics(analyze(predictions, COUNTS)))


def report_of(**splits: Predictions) -> Report:
    """A report on these splits."""
    learning = {**LEARNING, "epochs": [epoch | {"dev_score": -3.0} for epoch in LEARNING["epochs"]]}
    found = {split: analyze(own, COUNTS) for split, own in splits.items()}
    return {"splits": found, "facts": [("Seed", "13")], "learning": describe_scores(learning)}
