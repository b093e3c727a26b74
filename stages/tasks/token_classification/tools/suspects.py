"""Sentences with a word whose tag is probably wrong; see `Suspects` in stages/dynamics/suspects.py.

The most doubtful word counts.

Shape legend: W words of a split, S sentences.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.dynamics.files import Dynamics
from stages.dynamics.suspects import Doubts, Floats, Numbers
from stages.encoding.files import IGNORED, Manifest, read_split
from stages.tasks.token_classification.scores.entities import OUTSIDE
from stages.tasks.token_classification.scores.predictions import Predictions

PROBABLE = 0.5  # a tag is suspect that the model held for less probable than that, all in all


def doubt_train(encoded: Path, manifest: Manifest, dynamics: Dynamics) -> Doubts:
    """The doubts about the tags of train, and the tag that is likely beside the given one."""
    split = read_split(encoded, "train")
    places_W = split.owners()
    outputs_W = np.cumsum(split.labels != IGNORED)[places_W] - 1
    return _doubt(
        split.words,
        split.word_bounds,
        manifest.labels,
        given_W=split.labels[places_W].astype(np.int64),
        likely_W=dynamics.predicted_OV[outputs_W, 0].astype(np.int64),
        doubt_W=1 - dynamics.confidence_O[outputs_W].astype(np.float64),
    )


def doubt_predictions(predictions: Predictions) -> Doubts:
    """The doubts about the tags that are not as predicted: the probability of the predicted one."""
    gold, predicted = predictions.gold, predictions.predicted
    differs_W = gold.ids_W != predicted.ids_W  # both number the same tags
    return _doubt(
        predictions.words,
        gold.bounds,
        gold.tags,
        given_W=gold.ids_W,
        likely_W=predicted.ids_W,
        doubt_W=np.where(differs_W, predictions.probability_W, 0.0),
    )


def _doubt(
    words: pa.ListArray,
    bounds: Numbers,
    tags: Sequence[str],
    *,
    given_W: Numbers,
    likely_W: Numbers,
    doubt_W: Floats,
) -> Doubts:
    """The doubts about sentences; `likely` has the likely tag of each suspect word."""
    score_S = np.maximum.reduceat(doubt_W, bounds[:-1]) if len(doubt_W) else np.zeros(0)

    def show(sentence: int) -> dict[str, Any]:
        own = slice(*bounds[sentence : sentence + 2])
        is_suspect = doubt_W[own] > PROBABLE
        likely = np.where(is_suspect, likely_W[own], given_W[own])
        return {
            "words": words[sentence].as_py(),
            "given": [tags[number] for number in given_W[own]],
            "likely": open_entities([tags[number] for number in likely]),
            "suspect": [[int(word), float(doubt_W[own][word])] for word in np.flatnonzero(is_suspect)],
        }

    return Doubts(score_S, PROBABLE, show)


def open_entities(tags: Sequence[str]) -> list[str]:
    """The tags with a B- in place of each I- that continues no entity: what a change of single tags may leave."""
    before = [OUTSIDE, *tags[:-1]]
    return [
        f"B-{tag[2:]}" if tag.startswith("I-") and tag[2:] != previous[2:] else tag
        for previous, tag in zip(before, tags, strict=True)
    ]
