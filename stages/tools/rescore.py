"""rescore: a model folder, and the sentences on which another model was scored -> its predictions for them, as Parquet.

This allows two models that were evaluated on different test sets to be compared on one. The sentences come from the
predictions.parquet of the other model, as words with gold tags. They are encoded with the tokenizer and the windows of
this model and predicted as in evaluate, with `auto` for device and precision. The gold tags remain unchanged, even
those of types that this model does not predict.

A predictions.parquet has no documents: a model that was trained with `tokenize.context: document` reads each sentence
by itself here, with a warning.

Like every stage it takes only a params file, whose one section is `rescore`. It prints the numbers of sentences and of
words as one JSON object on stdout.
"""

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.artifacts import atomic_write
from stages.config.rescore import Params
from stages.encoding.files import split_of
from stages.errors import ArtifactError
from stages.modeling.device import set_deterministic
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.serving.predictor import Recognizer
from stages.tasks.token_classification.entities import Tagging
from stages.tasks.token_classification.head import labels_of
from stages.tasks.token_classification.inference import INFERENCE_BATCH_TOKENS, predict
from stages.tasks.token_classification.predictions import Predictions, read_predictions, write_predictions
from stages.training.record import read_training

log = logging.getLogger("rescore")


def main(params_file: Path) -> None:
    """Read the sentences, predict their tags with the model, write the predictions."""
    params = load_params(params_file, Params).rescore
    scored = read_scored(Path(params.sentences), params.split)
    folder = Path(params.model)
    record = read_training(folder)
    set_deterministic(seed=0, threads=record.threads)  # as in evaluate, so that sums are rounded alike
    predictions = rescore(scored, Recognizer.load(folder))

    with atomic_write(Path(params.output)) as path:
        write_predictions(path, {params.split: predictions})
    # The record of an older model has no context, since there was no choice.
    if record.parameters["tokenize"].get("context") == "document":
        log.warning("warning: %s was trained on sentences in context; here it read each sentence by itself", folder)
    print(json.dumps({"sentences": predictions.gold.sentences, "words": len(predictions.gold.ids_W)}))


def read_scored(path: Path, split: str) -> Predictions:
    """Read the predictions of the other model for a split; ArtifactError if the file has no such split."""
    splits = read_predictions(path)
    if split not in splits:
        raise ArtifactError(f"{path} has no sentences of split '{split}', only of {' and '.join(splits) or 'none'}.")
    return splits[split]


def rescore(scored: Predictions, recognizer: Recognizer) -> Predictions:
    """The same words and gold tags with this model's tags and probabilities; both taggings have the tags of both."""
    gold = scored.gold
    windows = recognizer.encoder.encode(scored.words, gold.ids_W.astype(np.int32)).rows()
    split = split_of(pa.Table.from_batches([windows]))
    predictions = predict(recognizer.model, split, recognizer.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
    assert np.array_equal(predictions.gold_W, gold.ids_W)
    own = Tagging(predictions.predicted_W, gold.bounds, tuple(labels_of(recognizer.model)))
    tags = tuple(sorted({*gold.tags, *own.tags}))
    return Predictions(scored.words, renumber(gold, tags), renumber(own, tags), predictions.probability_W)


def renumber(tagging: Tagging, tags: tuple[str, ...]) -> Tagging:
    """The same tags of the same words, by their indices in `tags`, which contains them all."""
    index = np.array([tags.index(tag) for tag in tagging.tags], dtype=np.int64)
    return Tagging(index[tagging.ids_W], tagging.bounds, tags)


if __name__ == "__main__":
    run_recipe(main)
