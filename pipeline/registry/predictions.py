"""Predictions of two versions for the same examples: how their scores differ, and where to get them."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.checkout.processes import run_json
from stages.errors import UserError
from stages.scoring import Scores
from stages.statistics.measure import Measure
from stages.statistics.significance import gain, gain_interval
from stages.tracking.parent import MODEL_FILES
from stages.tracking.version_artifacts import PREDICTIONS, SPLIT, load_common_task

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def rescore_version(client: "MlflowClient", version: "ModelVersion", other: "ModelVersion") -> Any:
    """Predict the test examples of another version of the same task; UserError if the files of either are gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    scores = load_common_task(version, other).scores
    with tempfile.TemporaryDirectory() as folder:
        try:
            uri = f"models:/{version.name}/{version.version}"
            model = Path(mlflow.artifacts.download_artifacts(uri, dst_path=f"{folder}/model"))
            examples = Path(client.download_artifacts(other.run_id or "", PREDICTIONS, folder))
        except (MlflowException, OSError) as error:
            raise UserError(f"{version.name}/{version.version} cannot be rescored: {error}") from None
        return rescore_split(model / MODEL_FILES, examples, split=SPLIT, scores=scores)


def rescore_split(model: Path, examples: Path, *, split: str, scores: Scores) -> Any:
    """Predict the examples of one split of a predictions.parquet, which has their gold answers, with another model.

    `model` is a folder as train writes it. A child process predicts, since `pipeline` does not import torch; it takes a
    few seconds more than evaluate for the split. UserError if the model cannot be loaded or there is no such split.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, params = Path(folder) / "predictions.parquet", Path(folder) / "rescore.json"
        section = {"model": str(model), "sentences": str(examples), "split": split, "output": str(output)}
        params.write_text(json.dumps({"rescore": section}), encoding="utf-8")
        run_json("stages.tools.rescore", params, on_progress=lambda _: None)  # it reports no progress
        return scores.read_predictions(output)[split]


def measure_difference(first: Measure, second: Measure) -> tuple[float, tuple[float, float]]:
    """The score of the second less that of the first, and its 95 % interval; below 0 is better if they are errors.

    ValueError unless both are for the same examples.
    """
    low, high = gain_interval(first, second)
    if first.is_error:
        return -gain(first, second), (-high, -low)
    return gain(first, second), (low, high)
