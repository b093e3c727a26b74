"""What fine-tuning brings: the scores of baselines that were fitted on the same training texts.

Shape legend: E examples, M of them to fit, C labels or targets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.statistics.baselines import Fitted, Predicted, Vectors, fit_baseline, split_rows
from stages.statistics.measure import Measure
from stages.statistics.significance import gain, gain_interval
from stages.statistics.tfidf import (
    MAX_CHARACTERS,
    Columns,
    Texts,
    choose_evenly,
    count_characters,
    join_texts,
    take_texts,
)
from stages.text_tasks.predictions import TextPredictions
from stages.training.frozen_encoder import FrozenVectors

TFIDF, FROZEN = "tfidf", "frozen_encoder"

Values = npt.NDArray[Any]  # gold or predicted: labels, probabilities or numbers, [E, C]


@dataclass(frozen=True)
class Train:
    """The texts of train and their gold answers."""

    texts: Columns
    gold_EC: Values


def fit_baselines(
    train: Train,
    splits: Mapping[str, TextPredictions],
    vectors: FrozenVectors | str,
    names: Mapping[str, str],
    *,
    without_text: Callable[[Values, int], Values],
    by_words: Callable[[Texts, Values, Texts], Values],
    by_vectors: Callable[[Vectors, Values, Vectors], Values],
    max_cells: int | None = None,
) -> Fitted:
    """All baselines that cost no more than seconds; `vectors` are what `embed_splits` gives.

    `names` has the words for each baseline: one that does not look at the text, TFIDF and FROZEN. Each function gets
    gold answers of train, behind their texts or vectors, and what to predict. `max_cells` is how many answers of train
    those by words are fitted on at most, where their number makes a fit slow.
    """
    gold_EC, chosen_M = train.gold_EC, choose_evenly(len(train.gold_EC))
    words = [take_texts(train.texts, chosen_M), *((own.texts, own.pairs) for own in splits.values())]
    sizes = {split: len(own.texts) for split, own in splits.items()}

    def predict_without_text() -> Predicted:
        return {split: without_text(gold_EC, size) for split, size in sizes.items()}

    def predict_by_words() -> Predicted:
        return split_rows(by_words(join_texts(words[:1]), gold_EC[chosen_M], join_texts(words[1:])), sizes)

    def predict_by_vectors(found: FrozenVectors) -> Predicted:
        own_EF = np.concatenate([found.splits[split] for split in sizes])
        return split_rows(by_vectors(found.train_MF, gold_EC[found.chosen_M], own_EF), sizes)

    fitted = {next(iter(names)): fit_baseline(predict_without_text, train_texts=len(gold_EC))}
    remarks = []
    reason = explain_skipping(words, cells=gold_EC[chosen_M].size, max_cells=max_cells)
    if reason is None:
        fitted[TFIDF] = fit_baseline(predict_by_words, train_texts=len(chosen_M))
    else:
        remarks.append(f"No baseline of {names[TFIDF]}: {reason}.")
    if isinstance(vectors, FrozenVectors):
        fitted[FROZEN] = fit_baseline(
            partial(predict_by_vectors, vectors), train_texts=len(vectors.chosen_M), seconds=vectors.seconds
        )
    else:
        remarks.append(f"No baseline of {names[FROZEN]}: {vectors}.")
    return Fitted(fitted, len(gold_EC), remarks)


def explain_skipping(words: Sequence[Columns], *, cells: int, max_cells: int | None) -> str | None:
    """Why no baseline is made of the words, or None: it would take longer than some 20 s."""
    characters = count_characters(words)
    if characters > MAX_CHARACTERS:
        return f"{characters:,} characters are more than {MAX_CHARACTERS:,}"
    if max_cells is not None and cells > max_cells:
        return f"{cells:,} texts times labels are more than {max_cells:,}"
    return None


def describe_gain(
    primary: Mapping[str, Any], baseline: Measure, model: Measure, *, train_texts: int
) -> dict[str, float]:
    """The primary score of a baseline with its interval, the gain of the model with that, and `train_texts`."""
    low, high = gain_interval(baseline, model)
    return {key: primary[key] for key in ("value", "low", "high")} | {
        "gain": gain(baseline, model),
        "gain_low": low,
        "gain_high": high,
        "train_texts": train_texts,
    }
