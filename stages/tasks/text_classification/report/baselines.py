"""The baselines of a classifier of texts, and what fine-tuning brings beside them.

Shape legend: E examples, C labels.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from stages.statistics.baselines import (
    Fitted,
    predict_label_shares,
    predict_labels_by_tfidf,
    predict_labels_by_vectors,
)
from stages.tasks.text_classification.scores import scoring
from stages.tasks.text_classification.scores.metric import primary_measure
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import choose_thresholds, predict_one, predict_several
from stages.text_tasks import baselines as shared
from stages.text_tasks.baselines import FROZEN, TFIDF, Train, describe_gain
from stages.training.frozen_encoder import FrozenVectors

NAMES = {
    "majority": "the most frequent labels",
    TFIDF: "TF-IDF and logistic regression",
    FROZEN: "the encoder without fine-tuning and logistic regression",
}
MAX_CELLS = 6_000_000  # training texts by labels: some 20 s of logistic regression


def fit_baselines(train: Train, splits: Mapping[str, Predictions], vectors: FrozenVectors | str) -> Fitted:
    """All baselines that cost no more than seconds; `vectors` are what `embed_splits` gives."""
    multi_label = next(iter(splits.values())).is_multi_label
    return shared.fit_baselines(
        train,
        splits,
        vectors,
        NAMES,
        without_text=predict_label_shares,
        by_words=partial(predict_labels_by_tfidf, multi_label=multi_label),
        by_vectors=partial(predict_labels_by_vectors, multi_label=multi_label),
        max_cells=MAX_CELLS,
    )


def score_baselines(
    fitted: Fitted, splits: Mapping[str, Predictions], *, name: str, per_label: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """By split and baseline the primary score of this name, and the gain of the model with its interval.

    A row is what `describe_gain` has. The gain is of the score that stands for the primary one (scoring.COMPARED_BY).
    Where a text may have several labels, thresholds are chosen on dev as those of the model are, `per_label` or one for
    all.
    """
    compared = scoring.COMPARED_BY.get(name, name)
    table: dict[str, dict[str, dict[str, Any]]] = {split: {} for split in splits}
    for title, baseline in fitted.baselines.items():
        thresholds = None
        if splits["dev"].is_multi_label:
            thresholds = choose_thresholds(baseline.predicted["dev"], splits["dev"].gold_EC, per_label=per_label)
        for split, own in splits.items():
            probability_EC = baseline.predicted[split]
            predicted_EC = (
                predict_one(probability_EC) if thresholds is None else predict_several(probability_EC, thresholds)
            )
            other = replace(own, probability_EC=probability_EC, predicted_EC=predicted_EC, thresholds=thresholds)
            first, second = (primary_measure(each, compared) for each in (other, own))
            primary = scoring.primary(other, name)
            table[split][title] = describe_gain(primary, first, second, train_texts=baseline.train_texts)
    return table
