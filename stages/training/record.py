"""training.json beside the weights of a model: how it was trained. Written and read here alone."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages.artifacts import check_version, parse_dataclass, read_json, write_json

FORMAT_VERSION = 2
FILE = "training.json"
FIRST_TASK = "token_classification"  # of the records of format version 1, which name none


@dataclass(frozen=True)
class TrainingRecord:
    """The identity of a training run, its parameters, data and machine, and its dev scores."""

    train_key: str
    parameters: dict[str, dict[str, Any]]  # by section of params.yaml: task, model, tokenize and train
    datasets: dict[str, dict[str, Any]]  # by split: its digest and its counts
    device: str
    precision: str
    threads: int
    best_epoch: int  # from 1; 0 before the end of the first epoch
    dev_score: list[float]  # the primary score after each epoch, higher is better
    decision: dict[str, Any]  # what was fitted on dev after training: temperature, thresholds
    weights: dict[str, int] = field(default_factory=dict)  # how many were `trained`, of `all`; models of before lack it

    @property
    def task(self) -> str:
        """The name of the task."""
        name: str = self.parameters["task"]["name"]
        return name

    @property
    def encoder(self) -> dict[str, Any]:
        """The pretrained encoder, as `find_pretrained` takes it."""
        return {name: self.parameters["model"][name] for name in ("pretrained", "revision", "sha256")}

    @property
    def trained_weights(self) -> str:
        """How many weights were trained, and in which way; empty of models of before that was recorded."""
        if not self.weights:
            return ""
        trained, total = self.weights["trained"], self.weights["all"]
        return f"{trained:,} of {total:,} ({trained / total:.1%}), {self.parameters['model']['adapt']}"

    @property
    def machine(self) -> dict[str, Any]:
        """What decides how sums are rounded: device, precision and threads."""
        return {"device": self.device, "precision": self.precision, "threads": self.threads}

    @property
    def logged_parameters(self) -> dict[str, dict[str, Any]]:
        """The parameters of the run in MLflow: those of all sections, and the machine."""
        return {**self.parameters, "machine": self.machine}


def write_training(folder: Path, record: TrainingRecord) -> None:
    """Write the record into the folder of a model."""
    write_json(folder / FILE, {"format_version": FORMAT_VERSION, **asdict(record)})


def read_training(folder: Path) -> TrainingRecord:
    """Read the record; ArtifactError if it is absent, damaged or of an unknown format version."""
    path = folder / FILE
    fields = read_json(path)
    if fields.get("format_version") == 1:  # of versions that the registry may still hold
        scores = fields.pop("dev_f1", [])
        parameters = {"task": {"name": FIRST_TASK}, **fields.pop("parameters", {})}
        fields |= {"format_version": FORMAT_VERSION, "parameters": parameters, "dev_score": scores, "decision": {}}
    check_version(fields, path, format_version=FORMAT_VERSION, stage="train")
    del fields["format_version"]
    return parse_dataclass(fields, TrainingRecord, path)
