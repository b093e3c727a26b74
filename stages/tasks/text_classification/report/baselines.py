"""What the encoder brings: the scores of baselines that were fitted on the same training texts.

Shape legend: E examples, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from stages.statistics.baselines import MAX_TRAIN, Texts, predict_label_shares, predict_labels_by_tfidf
from stages.statistics.measure import Truths
from stages.statistics.significance import gain, gain_interval
from stages.tasks.text_classification.scores import scoring
from stages.tasks.text_classification.scores.metric import primary_measure
from stages.tasks.text_classification.scores.predictions import Predictions
from stages.tasks.text_classification.scores.thresholds import choose_thresholds, predict_one, predict_several

MAJORITY, TFIDF = "majority", "tfidf"
NAMES = {MAJORITY: "the most frequent labels", TFIDF: "TF-IDF and logistic regression"}
MAX_CHARACTERS = 20_000_000  # of all texts: some 20 s to find their words and pairs of words
MAX_CELLS = 6_000_000  # training texts by labels: some 20 s of logistic regression


@dataclass(frozen=True)
class Train:
    """The texts of train, at most the 20,000 that a baseline takes, and the labels of all."""

    texts: Texts
    gold_EC: Truths

    def sample(self) -> Truths:
        """The labels of the texts."""
        count = len(self.gold_EC)
        return self.gold_EC if count <= MAX_TRAIN else self.gold_EC[choose_evenly(count)]


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
        int(pa.compute.sum(pa.compute.utf8_length(column)).as_py() or 0) for column in own
    )
    cells = len(train.texts[0]) * train.gold_EC.shape[1]
    for count, most, what in (
        (characters, MAX_CHARACTERS, "characters"),
        (cells, MAX_CELLS, "texts times labels"),
    ):
        if count > most:
            return f"No baseline of TF-IDF and logistic regression: {count:,} {what} are more than {most:,}."
    return None


def score_baselines(
    train: Train, splits: dict[str, Predictions], *, name: str, per_label: bool, tfidf: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """By split and baseline the primary score of this name, and the gain of the model with its interval.

    A row is `{"value", "low", "high", "gain", "gain_low", "gain_high"}`. The gain is of the score that stands for the
    primary one (scoring.COMPARED_BY). Where a text may have several labels, thresholds are chosen on dev as those of
    the model are, `per_label` or one for all.
    """
    predicted = {
        MAJORITY: {split: predict_label_shares(train.gold_EC, len(own.texts)) for split, own in splits.items()}
    }
    if tfidf:
        predicted[TFIDF] = _predict_by_words(train, splits)
    table: dict[str, dict[str, dict[str, Any]]] = {split: {} for split in splits}
    for baseline, probabilities in predicted.items():
        thresholds = None
        if splits["dev"].is_multi_label:
            thresholds = choose_thresholds(probabilities["dev"], splits["dev"].gold_EC, per_label=per_label)
        for split, own in splits.items():
            probability_EC = probabilities[split]
            predicted_EC = (
                predict_one(probability_EC) if thresholds is None else predict_several(probability_EC, thresholds)
            )
            other = replace(own, probability_EC=probability_EC, predicted_EC=predicted_EC, thresholds=thresholds)
            table[split][baseline] = _compare(other, own, name)
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


def _predict_by_words(train: Train, splits: dict[str, Predictions]) -> dict[str, Any]:
    """The probabilities of each split, from one fit on train."""
    texts = [text for own in splits.values() for text in own.texts.to_pylist()]
    has_pairs = train.texts[1] is not None
    pairs: Sequence[str] | None = None
    if has_pairs:
        pairs = [pair for own in splits.values() if own.pairs is not None for pair in own.pairs.to_pylist()]
    multi_label = next(iter(splits.values())).is_multi_label
    found_EC = predict_labels_by_tfidf(train.texts, train.sample(), (texts, pairs), multi_label=multi_label)
    ends = np.cumsum([len(own.texts) for own in splits.values()])
    return dict(zip(splits, np.split(found_EC, ends[:-1]), strict=True))
