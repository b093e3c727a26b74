"""A tagger's predictions for the sentences on which another one was scored, in the context that it was trained with."""

import logging
from pathlib import Path

import numpy as np

from stages.modeling.classifier import labels_of
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.predictions import Predictions
from stages.tasks.token_classification.service.predictor import Recognizer

log = logging.getLogger("rescore")


def rescore(scored: Predictions, folder: Path) -> Predictions:
    """The same words and gold tags with the tags and probabilities of the model in `folder`.

    Both taggings have the tags of both models. The gold tags stay, even those of types that this model does not
    predict.
    """
    gold, recognizer = scored.gold, Recognizer.load(folder)
    is_marked = scored.documents is not None and (scored.documents >= 0).any()
    if recognizer.encoder.context == "document" and not is_marked:
        log.warning(
            "warning: %s was trained on whole documents; here it reads each sentence by itself, since the predictions "
            "of the other model do not say which document a sentence is of",
            folder,
        )
    predictions = recognizer.predict(scored.words, gold.ids_W.astype(np.int32), documents=scored.documents)
    assert np.array_equal(predictions.gold_W, gold.ids_W)
    own = Tagging(predictions.predicted_W, gold.bounds, tuple(labels_of(recognizer.model)))
    tags = tuple(sorted({*gold.tags, *own.tags}))
    return Predictions(
        scored.words, renumber(gold, tags), renumber(own, tags), predictions.probability_W, scored.documents
    )


def renumber(tagging: Tagging, tags: tuple[str, ...]) -> Tagging:
    """The same tags of the same words, by their indices in `tags`, which contains them all."""
    index = np.array([tags.index(tag) for tag in tagging.tags], dtype=np.int64)
    return Tagging(index[tagging.ids_W], tagging.bounds, tags)
