"""Versions in a registry with all that their runs hold but a model, made without any training."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from mlflow import MlflowClient

from stages.tasks.token_classification.scores.entities import taggings
from stages.tasks.token_classification.scores.predictions import Predictions, write_predictions
from stages.tracking.git import GitState
from stages.tracking.lineage_record import (
    RECORD,
    FileEntry,
    LineageFiles,
    LineageRecord,
    StageRecord,
    TrainingEnvironment,
)
from stages.tracking.registry import DIGEST_TAG
from stages.tracking.version_artifacts import FILE_TAG, lineage_folder

NAME = "demo-ner"
CORPUS = Path("data/corpora/mine")
WORDS = [["Anna", "met", "Bo", "Li"], ["Bonn", "slept"], ["nobody", "came"], ["Rome"]]
GOLD = [["B-PER", "O", "B-PER", "I-PER"], ["B-LOC", "O"], ["O", "O"], ["B-LOC"]]
FIRST = [["B-PER", "O", "I-PER", "I-PER"], ["O", "O"], ["O", "O"], ["B-LOC"]]
SECOND = [["B-PER", "O", "B-PER", "O"], ["B-LOC", "O"], ["B-PER", "O"], ["B-LOC"]]
TRAIN = "Anna B-PER\nslept O\n\nBonn B-LOC\n"
ENVIRONMENT = TrainingEnvironment(
    python="3.11.9", platform="Linux", processor="a processor", cores=2, gpu=None,
    packages={"torch": "2.13.0", "numpy": "2.4.0"}, device="cpu", precision="bf16", threads=2,
)  # fmt: skip
RECORDED = LineageRecord(
    registered="2026-05-01T12:00:00+00:00",
    git=GitState(commit="c" * 40, dirty=False, remote=None),
    flow_run=None,
    rebuildable=True,
    outside=[],
    params={
        "data": {"dir": str(CORPUS), "format": "auto", "words": "auto", "tags": "auto", "split": None},
        "train": {"seed": 13, "epochs": 5},
    },
    environment=ENVIRONMENT,
    stages={},
    train_key="4" * 64,
    digest="d" * 64,
)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def stage(*inputs: FileEntry) -> StageRecord:
    return StageRecord(command="true", inputs=list(inputs), params={}, outputs=[], made_by=None)


def make_record(commit: str, files: dict[str, str], **environment: Any) -> LineageRecord:
    """The record of a registration, with the digests of these files of the corpus and of two of the code."""
    corpus = [FileEntry(f"{CORPUS}/{name}", md5(text.encode())) for name, text in files.items()]
    code = [FileEntry(f"stages/{name}.py", md5(name.encode())) for name in ("tokenize", "params")]
    return replace(
        RECORDED,
        git=GitState(commit, dirty=False, remote=None),
        environment=replace(ENVIRONMENT, **environment),
        stages={"tokenize": stage(*corpus, *code), "train": stage(code[1])},
    )


def predictions(words: list[list[str]], gold: list[list[str]], predicted: list[list[str]]) -> Predictions:
    sides = taggings(gold, predicted)
    return Predictions(pa.array(words), *sides, np.ones(len(sides[0].ids_W), np.float32))


def register(
    client: MlflowClient, name: str, record: LineageRecord, splits: dict[str, Predictions], work: Path
) -> None:
    """Register a version with all that its run holds but the model."""
    run_id = client.create_run(client.create_experiment(work.name, str(work / "artifacts"))).info.run_id
    lineage = LineageFiles(b"lock", b"params", b"", record)
    lineage.write(work / "lineage")
    client.log_artifacts(run_id, str(work / "lineage"), lineage_folder(name, lineage.digests()[RECORD]))
    write_predictions(work / "predictions.parquet", splits)
    client.log_artifact(run_id, str(work / "predictions.parquet"), "report")
    if name not in {model.name for model in client.search_registered_models()}:
        client.create_registered_model(name)
    tags = {f"{FILE_TAG}{file}": digest for file, digest in lineage.digests().items()}
    tags[DIGEST_TAG] = md5(work.name.encode())
    client.create_model_version(name, source=str(work), run_id=run_id, tags=tags)
