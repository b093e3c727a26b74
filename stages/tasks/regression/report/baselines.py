"""The baselines of a model of numbers, and what fine-tuning brings beside them.

Shape legend: E examples, D targets.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stages.statistics.baselines import (
    Fitted,
    predict_mean,
    predict_numbers_by_tfidf,
    predict_numbers_by_vectors,
)
from stages.tasks.regression.scores import scoring
from stages.tasks.regression.scores.predictions import Predictions
from stages.text_tasks import baselines as shared
from stages.text_tasks.baselines import FROZEN, TFIDF, Train, describe_gain
from stages.training.frozen_encoder import FrozenVectors

NAMES = {
    "mean": "the mean of the training texts",
    TFIDF: "TF-IDF and ridge regression",
    FROZEN: "the encoder without fine-tuning and ridge regression",
}


def fit_baselines(train: Train, splits: Mapping[str, Predictions], vectors: FrozenVectors | str) -> Fitted:
    """All baselines that cost no more than seconds; `vectors` are what `embed_splits` gives."""
    return shared.fit_baselines(
        train,
        splits,
        vectors,
        NAMES,
        without_text=predict_mean,
        by_words=predict_numbers_by_tfidf,
        by_vectors=predict_numbers_by_vectors,
    )


def score_baselines(
    fitted: Fitted, splits: Mapping[str, Predictions], *, name: str
) -> dict[str, dict[str, dict[str, Any]]]:
    """By split and baseline the primary score of this name, and the gain of the model with its interval.

    A row is what `describe_gain` has. A gain is above 0 where the model is better, also for an error. It is that of the
    score that stands for the primary one (scoring.COMPARED_BY).
    """
    compared = scoring.COMPARED_BY.get(name, name)
    table: dict[str, dict[str, dict[str, Any]]] = {split: {} for split in splits}
    for title, baseline in fitted.baselines.items():
        for split, own in splits.items():
            other = replace(own, predicted_ED=baseline.predicted[split])
            first, second = (scoring.measure(each, compared) for each in (other, own))
            primary = scoring.primary(other, name)
            table[split][title] = describe_gain(primary, first, second, train_texts=baseline.train_texts)
    return table
