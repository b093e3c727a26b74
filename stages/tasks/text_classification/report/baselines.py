"""What fine-tuning brings: the scores of baselines that were fitted on the same training texts.

Shape legend: E examples, C labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.statistics.baselines import (
    Fitted,
    Predicted,
    fit_baseline,
    predict_label_shares,
    predict_labels_by_tfidf,
    predict_labels_by_vectors,
    split_rows,
)
from stages.statistics.measure import Truths
from stages.statistics.significance import gain, gain_interval
from stages.statistics.tfidf import MAX_CHARACTERS, Columns, choose_evenly, count_characters, join_texts, take_texts
from stages.tasks.text_classification.scores import scoring
from stages.tasks.text_classification.scores.metric import primary_measure
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import choose_thresholds, predict_one, predict_several
from stages.training.frozen_encoder import FrozenVectors

MAJORITY, TFIDF, FROZEN = "majority", "tfidf", "frozen_encoder"
NAMES = {
    MAJORITY: "the most frequent labels",
    TFIDF: "TF-IDF and logistic regression",
    FROZEN: "the encoder without fine-tuning and logistic regression",
}
MAX_CELLS = 6_000_000  # training texts by labels: some 20 s of logistic regression


@dataclass(frozen=True)
class Train:
    """The texts of train and their labels."""

    texts: Columns
    gold_EC: Truths


def fit_baselines(train: Train, splits: Mapping[str, Predictions], vectors: FrozenVectors | str) -> Fitted:
    """All baselines that cost no more than seconds; `vectors` are what `embed_splits` gives."""
    multi_label = next(iter(splits.values())).is_multi_label
    count, chosen_M = len(train.gold_EC), choose_evenly(len(train.gold_EC))
    found = {
        MAJORITY: fit_baseline(
            lambda: {split: predict_label_shares(train.gold_EC, len(own.texts)) for split, own in splits.items()},
            train_texts=count,
        )
    }
    remarks = []
    words = [take_texts(train.texts, chosen_M), *((own.texts, own.pairs) for own in splits.values())]
    reason = explain_skipping(words, cells=len(chosen_M) * train.gold_EC.shape[1])
    if reason is None:
        found[TFIDF] = fit_baseline(
            lambda: _predict_by_words(words, train.gold_EC[chosen_M], splits, multi_label=multi_label),
            train_texts=len(chosen_M),
        )
    else:
        remarks.append(f"No baseline of {NAMES[TFIDF]}: {reason}.")
    if isinstance(vectors, FrozenVectors):
        found[FROZEN] = fit_baseline(
            lambda: _predict_by_vectors(vectors, train.gold_EC, multi_label=multi_label),
            train_texts=len(vectors.chosen_M),
            seconds=vectors.seconds,
        )
    else:
        remarks.append(f"No baseline of {NAMES[FROZEN]}: {vectors}.")
    return Fitted(found, count, remarks)


def explain_skipping(words: Sequence[Columns], *, cells: int) -> str | None:
    """Why no baseline is made of the words, or None: it would take longer than some 20 s."""
    characters = count_characters(words)
    for count, most, what in (
        (characters, MAX_CHARACTERS, "characters"),
        (cells, MAX_CELLS, "texts times labels"),
    ):
        if count > most:
            return f"{count:,} {what} are more than {most:,}"
    return None


def score_baselines(
    fitted: Fitted, splits: Mapping[str, Predictions], *, name: str, per_label: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """By split and baseline the primary score of this name, and the gain of the model with its interval.

    A row is `{"value", "low", "high", "gain", "gain_low", "gain_high", "train_texts"}`; the last is on how many texts
    it was fitted. The gain is of the score that stands for the primary one (scoring.COMPARED_BY). Where a text may have
    several labels, thresholds are chosen on dev as those of the model are, `per_label` or one for all.
    """
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
            table[split][title] = _compare(other, own, name) | {"train_texts": baseline.train_texts}
    return table


def _compare(baseline: Predictions, model: Predictions, name: str) -> dict[str, Any]:
    primary = scoring.primary(baseline, name)
    compared = scoring.COMPARED_BY.get(name, name)
    first, second = (primary_measure(each, compared) for each in (baseline, model))
    low, high = gain_interval(first, second)
    return {key: primary[key] for key in ("value", "low", "high")} | {
        "gain": gain(first, second),
        "gain_low": low,
        "gain_high": high,
    }


def _predict_by_words(
    words: Sequence[Columns], gold_MC: Truths, splits: Mapping[str, Predictions], *, multi_label: bool
) -> Predicted:
    """The probabilities of each split, from one fit on the first of `words`."""
    train, texts = join_texts(words[:1]), join_texts(words[1:])
    found_EC = predict_labels_by_tfidf(train, gold_MC, texts, multi_label=multi_label)
    return split_rows(found_EC, {split: len(own.texts) for split, own in splits.items()})


def _predict_by_vectors(vectors: FrozenVectors, gold_EC: Truths, *, multi_label: bool) -> Predicted:
    found_EC = predict_labels_by_vectors(
        vectors.train_MF,
        gold_EC[vectors.chosen_M],
        np.concatenate(list(vectors.splits.values())),
        multi_label=multi_label,
    )
    return split_rows(found_EC, {split: len(own) for split, own in vectors.splits.items()})
