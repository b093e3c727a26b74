"""A model of each kind that the tasks can make, with random weights: what is served, in all its forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient

from stages.adaptation.weights import is_of_encoder
from stages.encoding.tokenizer import load_tokenizer
from stages.modeling.classifier import add_crf
from stages.modeling.head import load_model
from stages.scoring import TaskParts
from stages.task import load_part
from stages.tracking.registry import describe_served
from stages.tracking.version_artifacts import TASK_TAG, load_task
from stages.training.record import TrainingRecord, write_training

WINDOW = {"window_length": 32, "window_overlap": 8}
TEXT, OTHER = "Angela Merkel visited Siemens in Munich.", "Nobody answered the phone."


@dataclass(frozen=True)
class Kind:
    """The task and the outputs of a model, its section `task` of the params, and what was fitted after training."""

    task: str
    labels: tuple[str, ...]
    parameters: Mapping[str, Any]
    decision: Mapping[str, Any]
    reads_pairs: bool = False
    counted: tuple[str, ...] = ("texts",)  # in its corpus
    has_crf: bool = False
    ending: str = ""  # of each text

    @property
    def parts(self) -> TaskParts:
        """The task as pipeline and registry know it."""
        return load_task(self.task)

    @property
    def config(self) -> dict[str, Any]:
        """What the model's config.json says of it."""
        return {"id2label": dict(enumerate(self.labels)), **({"text_pair": True} if self.reads_pairs else {})}

    def inputs(self, *texts: str) -> list[Any]:
        """Texts as the model takes them: each beside the first, if it reads pairs."""
        if self.reads_pairs:
            return [{"text": text, "pair": texts[0]} for text in texts]
        return [f"{text}{self.ending}" for text in texts]

    def record(self, **decision: Any) -> TrainingRecord:
        """A training record; `decision` has other values than the kind's own."""
        return TrainingRecord(
            train_key="a" * 64,
            parameters={
                "task": {"name": self.task, **self.parameters},
                "model": {"pretrained": "encoders/tiny"},
                "tokenize": {**WINDOW, "context": "sentence"},
                "train": {"seed": 13},
            },
            datasets={split: {"digest": "0", **dict.fromkeys(self.counted, 100)} for split in ("train", "dev")},
            device="cpu",
            precision="fp32",
            threads=1,
            best_epoch=1,
            dev_score=[0.5],
            decision={**self.decision, **decision},
        )


@dataclass(frozen=True)
class Classes(Kind):
    """Of text classification."""

    task: str = "text_classification"
    labels: tuple[str, ...] = ("cost", "delivery", "taste")
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"pooling": "mean", "symmetric": False})
    decision: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 1.5, "thresholds": None})


@dataclass(frozen=True)
class Numbers(Kind):
    """Of regression."""

    task: str = "regression"
    labels: tuple[str, ...] = ("severity",)
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: {"pooling": "mean", "symmetric": False, "unit": "points"}
    )
    decision: Mapping[str, Any] = field(default_factory=lambda: {"means": [4.0], "deviations": [2.5]})


SYMMETRIC = {"pooling": "mean", "symmetric": True}
KINDS: dict[str, Kind] = {
    "entities": Kind(
        "token_classification",
        ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"),
        {},
        {"temperature": 1.5},
        counted=("sentences", "words", "entities"),
    ),
    "entities-by-crf": Kind(
        "token_classification",
        ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"),
        {"head": "crf"},
        {"temperature": 1.5},
        counted=("sentences", "words", "entities"),
        has_crf=True,
    ),
    "one-label": Classes(),
    "several-labels": Classes(decision={"temperature": 1.5, "thresholds": [0.4, 0.5, 0.45]}),
    "pairs": Classes(labels=("no", "yes"), reads_pairs=True),
    "symmetric-pairs": Classes(labels=("no", "yes"), parameters=SYMMETRIC, reads_pairs=True),
    "a-number": Numbers(),
    "several-numbers": Numbers(
        labels=("severity", "length"),
        parameters={"pooling": "first", "symmetric": False, "unit": None},
        decision={"means": [4.0, 20.0], "deviations": [2.5, 10.0]},
    ),
    "numbers-of-pairs": Numbers(parameters={**SYMMETRIC, "unit": "points"}, reads_pairs=True),
    "masked-words": Kind(
        "language_modeling", ("masked words",), {"mask_share": 0.15}, {}, counted=("documents",), ending=" [MASK]"
    ),
}


def write_model(kind: Kind, folder: Path, pretrained: Path, **decision: Any) -> Path:
    """Write what train writes that serving reads, into `folder`."""
    torch.manual_seed(0)
    model = load_model(load_part(kind.task, "model.head"), pretrained, labels=list(kind.labels), dropout=0.0)
    for name, head in model.named_parameters():
        if not is_of_encoder(name, model) and head.ndim > 1:
            torch.nn.init.normal_(head, std=0.5)
    for potentials in add_crf(model).parameters() if kind.has_crf else ():
        torch.nn.init.normal_(potentials)
    if kind.reads_pairs:
        model.config.update({"text_pair": True})
    model.save_pretrained(folder)
    load_tokenizer(pretrained).save_pretrained(folder)
    write_training(folder, kind.record(**decision))
    return folder


def describe_here(kind: Kind, folder: Path) -> dict[str, Any]:
    """What MLflow needs to serve the model in this process, which has the code already."""
    return {**describe_served(folder, kind.task), "code_paths": None}


def register_model(name: str, kind: Kind, folder: Path, store: str) -> str:
    """Make a version of the registered model `name` of the model in `folder`, as register does, without its lineage."""
    import mlflow

    mlflow.set_tracking_uri(store)
    client = MlflowClient(store)
    found = client.get_experiment_by_name("tests")
    experiment = found.experiment_id if found else client.create_experiment("tests", str(folder.parent / "mlruns"))
    with mlflow.start_run(experiment_id=experiment):
        logged = mlflow.pyfunc.log_model(name="model", **describe_here(kind, folder))
    client.create_registered_model(name)
    version = client.create_model_version(name, source=logged.model_uri, tags={TASK_TAG: kind.task})
    client.set_registered_model_alias(name, "challenger", version.version)
    return f"models:/{name}/{version.version}"
