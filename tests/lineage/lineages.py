"""Lineages of versions as records tell them, for the tests of what is shown of them."""

import hashlib
from typing import Any

from pipeline.lineage.query import Lineage

COMMIT, OTHER_COMMIT = "c0" * 20, "0d" * 20
ENCODING_RUN, TRAINING_RUN = "e" * 32, "a" * 32
FLOW_RUNS = {
    stage: f"00000000-0000-4000-8000-00000000000{number}"
    for number, stage in enumerate(("tokenize", "train", "evaluate", "register"))
}
CORPUS, ENCODED = "data/corpora/demo", "data/encoded"
MODEL, REPORT = "data/model", "data/report"


def files_of(folder: str, *names: str) -> list[dict[str, str]]:
    """Files whose digests are their own."""
    return [
        {"path": f"{folder}/{name}", "digest": hashlib.md5(f"{folder}/{name}".encode()).hexdigest()} for name in names
    ]


def made_by(stage: str, hour: int, run: str | None = TRAINING_RUN) -> dict[str, Any]:
    told = {
        "flow_run": FLOW_RUNS[stage],
        "commit": COMMIT,
        "dirty": False,
        "remote": None,
        "time": f"2026-05-01T{hour:02}:00:00+00:00",
    }
    return told | ({"mlflow_run": run} if run else {})


def sample() -> Lineage:
    """A version that one run made, its stages sorted by name as a record has them."""
    corpus = files_of(CORPUS, "dev.conll", "test.conll", "train.conll")
    encoded = files_of(ENCODED, "dev.arrow", "manifest.json", "train.arrow")
    model = files_of(MODEL, "config.json", "model.safetensors")
    report = files_of(REPORT, "metrics.json", *(f"plots/{number}.csv" for number in range(9)), "report.html")
    weights = {"model.pretrained": "encoders/tiny", "model.sha256": "5" * 64}
    stages = {
        "evaluate": {
            "command": "python -m stages.evaluate",
            "inputs": encoded + model + files_of("stages", "evaluate.py", "report.html.jinja"),
            "params": {"evaluate.precision": "auto"},
            "outputs": report,
            "made_by": made_by("evaluate", 10),
        },
        "register": {
            "command": "python -m stages.register",
            "inputs": model + report,
            "params": {"register.name": "demo-ner"},
            "outputs": [],
            "made_by": made_by("register", 11, None),
        },
        "tokenize": {
            "command": "python -m stages.tokenize",
            "inputs": corpus + files_of("stages", "tokenize.py"),
            "params": {"data.dir": CORPUS, "data.split": None, "tokenize.window_length": 256, **weights},
            "outputs": encoded,
            "made_by": made_by("tokenize", 8, ENCODING_RUN),
        },
        "train": {
            "command": "python -m stages.train",
            "inputs": encoded + files_of("stages", "artifacts.py", "train.py"),
            "params": {"train.learning_rate": 5e-05, "train.words": ["a", "b"], **weights},
            "outputs": model,
            "made_by": made_by("train", 9),
        },
    }
    return {
        "name": "demo-ner",
        "version": 3,
        "aliases": ["challenger", "champion"],
        "digest": "d" * 64,
        "registered": "2026-05-01T11:00:00+00:00",
        "git": {"commit": COMMIT, "dirty": True, "remote": "git@example.org:team/ner.git"},
        "mlflow_run": TRAINING_RUN,
        "flow_run": FLOW_RUNS["register"],
        "train_key": "4" * 64,
        "rebuildable": True,
        "outside": [],
        "params": {"train": {"learning_rate": 5e-05}},
        "environment": {
            "python": "3.11.9",
            "platform": "Linux-6-x86_64",
            "processor": "EPYC",
            "cores": 2,
            "gpu": None,
            "device": "cpu",
            "precision": "bf16",
            "threads": 1,
            "packages": {"numpy": "2.4.6", "torch": "2.13.0+cpu", "transformers": "5.23.0"},
        },
        "scores": {"dev": 0.82, "test": 0.7412},
        "stages": stages,
        "altered": [],
    }


def scarce() -> Lineage:
    """A version of which as little is known as can be: no git, no Prefect, nobody who told, no score."""
    lineage = sample()
    for stage in lineage["stages"].values():
        stage["made_by"] = None
    lineage["stages"]["tokenize"] |= {"inputs": [], "params": {}}
    outside = {"flow_run": None, "scores": {}, "aliases": [], "rebuildable": False, "outside": ["/elsewhere/corpus"]}
    return lineage | outside | {"git": {"commit": None, "dirty": False, "remote": None}}


def full_of(text: str) -> Lineage:
    """A version in which all that a user can name is the same string."""
    lineage = sample()
    for stage in lineage["stages"].values():
        stage["params"] = {f"model.{text}": text, "model.pretrained": text}
        for file in (*stage["inputs"], *stage["outputs"]):
            file["path"] = f"{text}/{file['path']}/{text}"
    lineage["environment"] |= {"processor": text, "packages": {text: text}}
    lineage["git"]["remote"] = text
    return lineage | {"name": text, "aliases": [text], "outside": [text], "rebuildable": False, "scores": {text: 0.5}}


def files_in(lineage: Lineage) -> list[dict[str, str]]:
    return [file for stage in lineage["stages"].values() for file in stage["inputs"] + stage["outputs"]]
