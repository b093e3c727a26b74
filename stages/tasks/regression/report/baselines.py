"""What fine-tuning brings: the scores of baselines that were fitted on the same training texts.

Shape legend: E examples, D targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.statistics.baselines import (
    Fitted,
    Predicted,
    fit_baseline,
    predict_mean,
    predict_numbers_by_tfidf,
    predict_numbers_by_vectors,
    split_rows,
)
from stages.statistics.measure import Floats
from stages.statistics.significance import gain, gain_interval
from stages.statistics.tfidf import MAX_CHARACTERS, Columns, choose_evenly, count_characters, join_texts, take_texts
from stages.tasks.regression.scores import scoring
from stages.tasks.regression.scores.predictions import Predictions
from stages.training.frozen_encoder import FrozenVectors

MEAN, TFIDF, FROZEN = "mean", "tfidf", "frozen_encoder"
NAMES = {
    MEAN: "the mean of the training texts",
    TFIDF: "TF-IDF and ridge regression",
    FROZEN: "the encoder without fine-tuning and ridge regression",
}


@dataclass(frozen=True)
class Train:
    """The texts of train and their numbers."""

    texts: Columns
    gold_ED: Floats


def fit_baselines(train: Train, splits: Mapping[str, Predictions], vectors: FrozenVectors | str) -> Fitted:
    """All baselines that cost no more than seconds; `vectors` are what `embed_splits` gives."""
    count, chosen_M = len(train.gold_ED), choose_evenly(len(train.gold_ED))
    found = {
        MEAN: fit_baseline(
            lambda: {split: predict_mean(train.gold_ED, len(own.texts)) for split, own in splits.items()},
            train_texts=count,
        )
    }
    remarks = []
    words = [take_texts(train.texts, chosen_M), *((own.texts, own.pairs) for own in splits.values())]
    characters = count_characters(words)
    if characters <= MAX_CHARACTERS:
        found[TFIDF] = fit_baseline(
            lambda: _predict_by_words(words, train.gold_ED[chosen_M], splits), train_texts=len(chosen_M)
        )
    else:
        remarks.append(f"No baseline of {NAMES[TFIDF]}: {characters:,} characters are more than {MAX_CHARACTERS:,}.")
    if isinstance(vectors, FrozenVectors):
        found[FROZEN] = fit_baseline(
            lambda: _predict_by_vectors(vectors, train.gold_ED),
            train_texts=len(vectors.chosen_M),
            seconds=vectors.seconds,
        )
    else:
        remarks.append(f"No baseline of {NAMES[FROZEN]}: {vectors}.")
    return Fitted(found, count, remarks)


def score_baselines(
    fitted: Fitted, splits: Mapping[str, Predictions], *, name: str
) -> dict[str, dict[str, dict[str, Any]]]:
    """By split and baseline the primary score of this name, and the gain of the model with its interval.

    A row is `{"value", "low", "high", "gain", "gain_low", "gain_high", "train_texts"}`; the last is on how many texts
    it was fitted. A gain is above 0 where the model is better, also for an error. It is that of the score that stands
    for the primary one (scoring.COMPARED_BY).
    """
    return {
        split: {
            title: _compare(replace(own, predicted_ED=baseline.predicted[split]), own, name)
            | {"train_texts": baseline.train_texts}
            for title, baseline in fitted.baselines.items()
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


def _predict_by_words(words: Sequence[Columns], gold_MD: Floats, splits: Mapping[str, Predictions]) -> Predicted:
    """The numbers of each split, from one fit on the first of `words`."""
    found_ED = predict_numbers_by_tfidf(join_texts(words[:1]), gold_MD, join_texts(words[1:]))
    return split_rows(found_ED, {split: len(own.texts) for split, own in splits.items()})


def _predict_by_vectors(vectors: FrozenVectors, gold_ED: Floats) -> Predicted:
    own_EF = np.concatenate(list(vectors.splits.values()))
    found_ED = predict_numbers_by_vectors(vectors.train_MF, gold_ED[vectors.chosen_M], own_EF)
    return split_rows(found_ED, {split: len(own) for split, own in vectors.splits.items()})
