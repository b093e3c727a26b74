"""The parent of a model: a model of the same task that its training starts from, in place of a bare encoder."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from stages.artifacts import read_json
from stages.errors import ParamsError
from stages.training.record import FILE, TrainingRecord, read_training


@dataclass(frozen=True)
class Parent:
    """The folder of a model, how it was trained, and its labels in the order of its outputs."""

    folder: Path
    record: TrainingRecord
    labels: list[str]


def find_parent(pretrained: Path, task: str) -> Parent | None:
    """The parent in the folder of `model.pretrained`; None if it holds a bare encoder, or a model of another task.

    ArtifactError if its files are damaged.
    """
    if not (pretrained / FILE).exists():
        return None
    record = read_training(pretrained)
    if record.task != task:
        return None
    names: dict[str, str] = read_json(pretrained / "config.json")["id2label"]
    return Parent(pretrained, record, [names[str(index)] for index in range(len(names))])


def require_parent(pretrained: Path, task: str) -> Parent:
    """As `find_parent`; ParamsError if there is none, and so nothing to retain."""
    parent = find_parent(pretrained, task)
    if parent is None:
        raise ParamsError(
            f"train.retain is set, but model.pretrained ({pretrained}) holds no model of the task {task}. Name "
            "one, as models:/NAME@champion, whose answers are retained then, or: tuneline run --set train.retain=0.0"
        )
    return parent


def describe_labels(labels: list[str], taught: Collection[str], parent: Parent | None) -> list[str]:
    """Lines for the log: which labels are new to the parent, kept from it without an example, and gone.

    `taught` are the labels that the corpora have, `labels` those of the model.
    """
    if parent is None:
        return []
    groups = {
        "new": [name for name in labels if name not in parent.labels],
        "kept from the parent, without an example": [name for name in labels if name not in taught],
        "gone, with what the parent knew of them": [name for name in parent.labels if name not in labels],
    }
    found = [f"labels that are {what}: {', '.join(names)}" for what, names in groups.items() if names]
    return found or ["the labels are those of the parent"]
