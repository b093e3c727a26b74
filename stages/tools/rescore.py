"""rescore: a model folder on the sentences that another model was scored on -> its predictions of them, as Parquet.

So two models that were evaluated on different test sets can be compared on one. The sentences come from the
predictions.parquet of the other model, as words with gold tags; they are encoded with the tokenizer and the windows of
this one and predicted as evaluate would, with `auto` for device and precision. The gold tags stay as they are, with
types that this model never heard of as well.

A predictions.parquet knows no documents: a model that was trained with `tokenize.context: document` sees each sentence
alone here, and is warned of.

Like every stage it takes a params file alone; its one section is `rescore`. It prints the numbers of sentences and of
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
    """Read the sentences, let the model predict them, write what it says."""
    params = load_params(params_file, Params).rescore
    scored = read_scored(Path(params.sentences), params.split)
    folder = Path(params.model)
    record = read_training(folder)
    set_deterministic(seed=0, threads=record["threads"])  # as evaluate did, so that sums are rounded alike
    recognizer = Recognizer.load(folder)

    predictions = rescored(scored, recognizer)

    with atomic_write(Path(params.output)) as path:
        write_predictions(path, {params.split: predictions})
    # An older model names no context: there was none to choose.
    if record["parameters"]["tokenize"].get("context") == "document":
        log.warning("warning: %s was trained on sentences with their neighbours; here it saw each alone", folder)
    print(json.dumps({"sentences": predictions.gold.sentences, "words": len(predictions.gold.ids_W)}))


def read_scored(path: Path, split: str) -> Predictions:
    """What the other model was told and said of a split; ArtifactError if the file holds no such split."""
    splits = read_predictions(path)
    if split not in splits:
        raise ArtifactError(f"{path} has no sentences of split '{split}', only of {' and '.join(splits) or 'none'}.")
    return splits[split]


def rescored(scored: Predictions, recognizer: Recognizer) -> Predictions:
    """The same words and gold tags with this model's tags and probabilities; both taggings know all tags of both."""
    gold = scored.gold
    windows = recognizer.encoder.encode(scored.words, gold.ids_W.astype(np.int32)).rows()
    split = split_of(pa.Table.from_batches([windows]))
    said = predict(recognizer.model, split, recognizer.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
    assert np.array_equal(said.gold_W, gold.ids_W)
    own = Tagging(said.predicted_W, gold.bounds, tuple(labels_of(recognizer.model)))
    tags = tuple(sorted({*gold.tags, *own.tags}))
    return Predictions(scored.words, renumbered(gold, tags), renumbered(own, tags), said.probability_W)


def renumbered(tagging: Tagging, tags: tuple[str, ...]) -> Tagging:
    """The same tags of the same words, by their places in `tags`, which has them all."""
    places = np.array([tags.index(tag) for tag in tagging.tags], dtype=np.int64)
    return Tagging(places[tagging.ids_W], tagging.bounds, tags)


if __name__ == "__main__":
    run_recipe(main)
