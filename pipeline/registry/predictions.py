"""Predictions of versions for the same test sentences, as the gate and `compare` need them: rescored, counted."""

import json
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.checkout.processes import run_json
from stages.errors import UserError
from stages.tasks.token_classification.entities import OUTSIDE, Numbers, Tagging
from stages.tasks.token_classification.metric import counts_by_sentence, scores
from stages.tasks.token_classification.predictions import Predictions, read_predictions
from stages.tracking.version_artifacts import MODEL_FILES, PREDICTIONS, SPLIT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def rescore_version(client: "MlflowClient", version: "ModelVersion", other: "ModelVersion") -> Predictions:
    """Predict the test sentences of another version; UserError if the files of either are gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            uri = f"models:/{version.name}/{version.version}"
            model = Path(mlflow.artifacts.download_artifacts(uri, dst_path=f"{folder}/model"))
            sentences = Path(client.download_artifacts(other.run_id or "", PREDICTIONS, folder))
        except (MlflowException, OSError) as error:
            raise UserError(f"{version.name}/{version.version} cannot be rescored: {error}") from None
        return rescore_split(model / MODEL_FILES, sentences, split=SPLIT)


def rescore_split(model: Path, sentences: Path, *, split: str) -> Predictions:
    """Predict the sentences of one split of a predictions.parquet, which has their gold tags, with another model.

    `model` is a folder as train writes it. A child process predicts, since `pipeline` does not import torch; it takes a
    few seconds more than evaluate for the split. UserError if the model cannot be loaded or there is no such split.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, params = Path(folder) / "predictions.parquet", Path(folder) / "rescore.json"
        section = {"model": str(model), "sentences": str(sentences), "split": split, "output": str(output)}
        params.write_text(json.dumps({"rescore": section}), encoding="utf-8")
        run_json("stages.tools.rescore", params, on_progress=lambda _: None)  # it reports no progress
        return read_predictions(output)[split]


def have_same_sentences(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same sentences with the same gold tags, in the same order."""
    return bool(first.words.equals(second.words)) and np.array_equal(first.gold.tags_W, second.gold.tags_W)


def keep_types(predictions: Predictions, types: Collection[str]) -> Predictions:
    """The same words without the entities of other types, gold and predicted: they become O."""
    tags = predictions.gold.tags if OUTSIDE in predictions.gold.tags else (*predictions.gold.tags, OUTSIDE)
    outside = tags.index(OUTSIDE)
    kept = np.array([number if tag[2:] in types else outside for number, tag in enumerate(tags)])
    gold, predicted = (
        Tagging(kept[each.ids_W], each.bounds, tags) for each in (predictions.gold, predictions.predicted)
    )
    return Predictions(predictions.words, gold, predicted, predictions.probability_W)


def compute_f1(predictions: Predictions) -> tuple[float, dict[str, float]]:
    """Strict entity F1 over all types, and by type."""
    table = scores(predictions.gold, predictions.predicted)["entity_strict"]
    return table["micro"]["f1"], {name: row["f1"] for name, row in table["per_type"].items()}


def compute_f1_of_gold_types(predictions: Predictions) -> dict[str, float]:
    """Strict entity F1 by type, without the types that are only predicted: their F1 of 0 says nothing of a model."""
    per_type = scores(predictions.gold, predictions.predicted)["entity_strict"]["per_type"]
    return {name: row["f1"] for name, row in per_type.items() if row["support"]}


def count_entities(predictions: Predictions) -> Numbers:
    """Correct, predicted and gold entities by sentence, of shape (3, sentences)."""
    gold, predicted = predictions.gold.entities(strict=True), predictions.predicted.entities(strict=True)
    return np.stack(counts_by_sentence(gold, predicted, predictions.gold.sentences))
