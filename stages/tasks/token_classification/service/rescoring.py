"""A tagger's predictions for the sentences on which another one was scored.

A predictions.parquet has no documents: a model that was trained with `tokenize.context: document` reads each sentence
by itself here, with a warning.
"""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.encoding.files import split_of
from stages.modeling.classifier import labels_of
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.predictions import Predictions
from stages.tasks.token_classification.service.predictor import Recognizer
from stages.training.record import read_training

log = logging.getLogger("rescore")


def rescore(scored: Predictions, folder: Path) -> Predictions:
    """The same words and gold tags with the tags and probabilities of the model in `folder`.

    Both taggings have the tags of both models. The gold tags stay, even those of types that this model does not
    predict.
    """
    gold, recognizer = scored.gold, Recognizer.load(folder)
    windows = recognizer.encoder.encode(scored.words, gold.ids_W.astype(np.int32)).rows()
    split = split_of(pa.Table.from_batches([windows]))
    predictions = recognizer.predict(split)
    assert np.array_equal(predictions.gold_W, gold.ids_W)
    own = Tagging(predictions.predicted_W, gold.bounds, tuple(labels_of(recognizer.model)))
    tags = tuple(sorted({*gold.tags, *own.tags}))
    # The record of an older model has no context, since there was no choice.
    if read_training(folder).parameters["tokenize"].get("context") == "document":
        log.warning("warning: %s was trained on sentences in context; here it read each sentence by itself", folder)
    return Predictions(scored.words, renumber(gold, tags), renumber(own, tags), predictions.probability_W)


def renumber(tagging: Tagging, tags: tuple[str, ...]) -> Tagging:
    """The same tags of the same words, by their indices in `tags`, which contains them all."""
    index = np.array([tags.index(tag) for tag in tagging.tags], dtype=np.int64)
    return Tagging(index[tagging.ids_W], tagging.bounds, tags)
