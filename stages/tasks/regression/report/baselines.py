"""What the encoder brings: the scores of baselines that were fitted on the same training texts.

Shape legend: E examples, D targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.statistics.baselines import MAX_TRAIN, Texts, predict_mean, predict_numbers_by_tfidf
from stages.statistics.measure import Floats
from stages.statistics.significance import gain, gain_interval
from stages.tasks.regression.scores import scoring
from stages.tasks.regression.scores.predictions import Predictions

MEAN, TFIDF = "mean", "tfidf"
NAMES = {MEAN: "the mean of the training texts", TFIDF: "TF-IDF and ridge regression"}
MAX_CHARACTERS = 20_000_000  # of all texts: some 20 s to find their words and pairs of words


@dataclass(frozen=True)
class Train:
    """The texts of train, at most the 20,000 that a baseline takes, and the numbers of all."""

    texts: Texts
    gold_ED: Floats

    def sample(self) -> Floats:
        """The numbers of the texts."""
        return self.gold_ED[choose_evenly(len(self.gold_ED))]


def choose_evenly(count: int) -> list[int]:
    """Numbers of at most 20,000 of so many examples, evenly spaced."""
    kept = min(count, MAX_TRAIN)
    return [number * count // kept for number in range(kept)]


def read_texts_of_train(texts: pa.ChunkedArray, pairs: pa.ChunkedArray | None) -> Texts:
    """The texts that a baseline is fitted on, and their pairs."""
    chosen = pa.array(choose_evenly(len(texts)), pa.int64())
    return texts.take(chosen).to_pylist(), None if pairs is None else pairs.take(chosen).to_pylist()


def explain_skipping(train: Train, splits: dict[str, Predictions]) -> str | None:
    """Why no baseline is made of the words, or None: it would take longer than some 20 s."""
    own = [column for each in splits.values() for column in (each.texts, each.pairs) if column is not None]
    characters = sum(map(len, [*train.texts[0], *(train.texts[1] or ())])) + sum(
        int(pc.sum(pc.utf8_length(column)).as_py() or 0) for column in own
    )
    if characters <= MAX_CHARACTERS:
        return None
    return f"No baseline of {NAMES[TFIDF]}: {characters:,} characters are more than {MAX_CHARACTERS:,}."


def score_baselines(
    train: Train, splits: dict[str, Predictions], *, name: str, tfidf: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """By split and baseline the primary score of this name, and the gain of the model with its interval.

    A row is `{"value", "low", "high", "gain", "gain_low", "gain_high"}`; a gain is above 0 where the model is better,
    also for an error. It is that of the score that stands for the primary one (scoring.COMPARED_BY).
    """
    predicted = {MEAN: {split: predict_mean(train.gold_ED, len(own.texts)) for split, own in splits.items()}}
    if tfidf:
        predicted[TFIDF] = _predict_by_words(train, splits)
    return {
        split: {
            baseline: _compare(replace(own, predicted_ED=numbers[split]), own, name)
            for baseline, numbers in predicted.items()
        }
        for split, own in splits.items()
    }


def _compare(baseline: Predictions, model: Predictions, name: str) -> dict[str, Any]:
    primary = scoring.primary(baseline, name)
    compared = scoring.COMPARED_BY.get(name, name)
    first, second = (scoring.measure(each, compared) for each in (baseline, model))
    low, high = gain_interval(first, second)
    return {key: primary[key] for key in ("value", "low", "high")} | {
        "gain": gain(first, second),
        "gain_low": low,
        "gain_high": high,
    }


def _predict_by_words(train: Train, splits: dict[str, Predictions]) -> dict[str, Floats]:
    """The numbers of each split, from one fit on train."""
    texts = [text for own in splits.values() for text in own.texts.to_pylist()]
    pairs: Sequence[str] | None = None
    if train.texts[1] is not None:
        pairs = [pair for own in splits.values() if own.pairs is not None for pair in own.pairs.to_pylist()]
    found_ED = predict_numbers_by_tfidf(train.texts, train.sample(), (texts, pairs))
    ends = np.cumsum([len(own.texts) for own in splits.values()])
    return dict(zip(splits, np.split(found_ED, ends[:-1]), strict=True))
