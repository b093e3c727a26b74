"""How surprising masked words are to a model: nats per token, and their exponential.

The pseudo-perplexity is the exponential of the mean surprisal of masked tokens. Salazar et al. (2020) mask one token at
a time; here all masks of a window are read at once, as in training, so it is higher. Scores of models with different
tokenizers are not comparable. Intervals are from a bootstrap over documents, since the windows of one are alike.

Shape legend: E windows, L masked tokens, D documents, K counts, T totals (resamples or trials).
"""

import math
from typing import Any

import numpy as np

from stages.statistics.bootstrap import interval
from stages.statistics.measure import Counts, Measure, divide
from stages.tasks.language_modeling.scores.predictions import DOCUMENT, Predictions

PRIMARY, PERPLEXITY = "nats_per_token", "pseudo_perplexity"


def measure(predictions: Predictions) -> Measure:
    """The mean surprisal of masked tokens, in nats, with documents as examples."""
    own = predictions
    document_L = own.document_E[own.window_L]
    documents = len(own.slices[DOCUMENT].dictionary)
    sums = [np.bincount(document_L, weights, minlength=documents) for weights in (own.nats_L, None, own.gold_L)]
    nats_D, count_D, gold_D = (np.asarray(column, np.float64) for column in sums)
    counts = Counts(np.stack([nats_D, count_D]), None)
    gold_D2 = np.stack([count_D, gold_D], axis=1)
    return Measure(counts, lambda totals_KT: divide(totals_KT[0], totals_KT[1]), gold_D2, is_error=True)


def primary(predictions: Predictions, name: str = PRIMARY) -> dict[str, Any]:
    """`{"name", "value", "low", "high", "support"}`; support counts documents."""
    own = measure(predictions)
    value, low, high = own.value, *interval(own)
    if name == PERPLEXITY:
        value, low, high = (math.exp(number) for number in (value, low, high))
    return {"name": name, "value": value, "low": low, "high": high, "support": own.support}


def scores(predictions: Predictions) -> dict[str, Any]:
    """The pseudo-perplexity with its interval, the share of tokens that were guessed, and how many were masked."""
    own, found = predictions, primary(predictions, PERPLEXITY)
    return {
        PERPLEXITY: {key: found[key] for key in ("value", "low", "high")},
        "accuracy": float((own.gold_L == own.predicted_L).mean()),
        "documents": found["support"],
        "windows": len(own.texts),
        "masked_tokens": len(own.gold_L),
        "masked_words": len(own.words),
    }
