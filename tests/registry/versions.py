"""Versions in a registry with all that their runs keep but a model, made without any training."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from mlflow import MlflowClient

from stages.tasks.token_classification.entities import taggings
from stages.tasks.token_classification.predictions import Predictions, write_predictions
from stages.tracking.lineage_record import RECORD, LineageFiles
from stages.tracking.registry import DIGEST_TAG, FILE_TAG, lineage_folder

NAME = "demo-ner"
CORPUS = Path("data/corpora/mine")
WORDS = [["Anna", "met", "Bo", "Li"], ["Bonn", "slept"], ["nobody", "came"], ["Rome"]]
GOLD = [["B-PER", "O", "B-PER", "I-PER"], ["B-LOC", "O"], ["O", "O"], ["B-LOC"]]
FIRST = [["B-PER", "O", "I-PER", "I-PER"], ["O", "O"], ["O", "O"], ["B-LOC"]]
SECOND = [["B-PER", "O", "B-PER", "O"], ["B-LOC", "O"], ["B-PER", "O"], ["B-LOC"]]
TRAIN = "Anna B-PER\nslept O\n\nBonn B-LOC\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def read_lineage_record(commit: str, files: dict[str, str], **environment: Any) -> dict[str, Any]:
    """What a registration writes down, with the digests of these files of the corpus and of two of the code."""
    inputs = [{"path": f"{CORPUS}/{name}", "digest": md5(text.encode())} for name, text in files.items()]
    code = [{"path": f"stages/{name}.py", "digest": md5(name.encode())} for name in ("tokenize", "params")]
    return {
        "format_version": 1,
        "registered": "2026-05-01T12:00:00+00:00",
        "git": {"commit": commit, "dirty": False, "remote": None},
        "params": {
            "data": {"dir": str(CORPUS), "format": "auto", "words": "auto", "tags": "auto", "split": None},
            "train": {"seed": 13, "epochs": 5},
        },
        "environment": {
            "python": "3.11.9", "processor": "a processor", "cores": 2, "threads": 2, "device": "cpu", "gpu": None,
            "precision": "bf16", "packages": {"torch": "2.13.0", "numpy": "2.4.0"}, **environment,
        },
        "stages": {"tokenize": {"inputs": inputs + code}, "train": {"inputs": code[1:]}},
    }  # fmt: skip


def predictions(words: list[list[str]], gold: list[list[str]], predicted: list[list[str]]) -> Predictions:
    sides = taggings(gold, predicted)
    return Predictions(pa.array(words), *sides, np.ones(len(sides[0].ids_W), np.float32))


def register(client: MlflowClient, name: str, record: dict[str, Any], said: dict[str, Predictions], work: Path) -> None:
    """A version with all that its run keeps but the model."""
    run_id = client.create_run(client.create_experiment(work.name, str(work / "artifacts"))).info.run_id
    origin = LineageFiles(b"lock", b"params", b"", record)
    origin.write(work / "origin")
    client.log_artifacts(run_id, str(work / "origin"), lineage_folder(name, origin.digests()[RECORD]))
    write_predictions(work / "predictions.parquet", said)
    client.log_artifact(run_id, str(work / "predictions.parquet"), "report")
    if name not in {model.name for model in client.search_registered_models()}:
        client.create_registered_model(name)
    tags = {f"{FILE_TAG}{file}": digest for file, digest in origin.digests().items()}
    tags[DIGEST_TAG] = md5(work.name.encode())
    client.create_model_version(name, source=str(work), run_id=run_id, tags=tags)
