"""What sets a new version apart from the one that its name stood for, as the model of another project would be."""

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from stages.corpus.text.likeness import count_shared_sentences, find_foreign_scripts
from stages.errors import UserError
from stages.scoring import TaskParts, compare_labels
from stages.tracking.client import connect, translate_errors
from stages.tracking.registry import CHAMPION, DATA_TAG, Registration
from stages.tracking.version_artifacts import load_version_task, read_version_labels, read_version_predictions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SAME_CORPUS_SHARE = 0.01  # of the examples: another split of a corpus has far more in common with the old one


def list_differences(registration: Registration) -> list[str]:
    """A line for each difference of a version from the champion, or else from the version before it.

    Counted are another task, other labels, other text, and text in another script; a new version or split of the same
    corpus is none.
    Empty if there is no other version, or if what the two hold cannot be read.
    """
    try:
        with translate_errors():
            client = connect()
            version = client.get_model_version(registration.name, str(registration.version))
            earlier = _find_predecessor(client, version)
            if earlier is None:
                return []
            task, other_task = (load_version_task(each) for each in (version, earlier))
            if task.name != other_task.name:
                return [f"its task is {task.name}, that of {_label(earlier)} is {other_task.name}"]
            return [*_compare_labels(client, version, earlier), *_compare_text(client, version, earlier, task)]
    except UserError:
        return []


def _find_predecessor(client: "MlflowClient", version: "ModelVersion") -> "ModelVersion | None":
    champion = client.get_registered_model(version.name).aliases.get(CHAMPION)
    if champion is not None:
        return None if int(champion) == int(version.version) else client.get_model_version(version.name, str(champion))
    found = client.search_model_versions(f"name = '{version.name}'", order_by=["version_number DESC"])
    return next((each for each in found if int(each.version) < int(version.version)), None)


def _compare_labels(client: "MlflowClient", version: "ModelVersion", earlier: "ModelVersion") -> list[str]:
    change = compare_labels(*(read_version_labels(client, each) for each in (earlier, version)))
    lines = []
    if change.vanished:
        lines.append(f"it does not know {', '.join(change.vanished)}, which {_label(earlier)} knows")
    if change.appeared:
        lines.append(f"it knows {', '.join(change.appeared)}, which {_label(earlier)} does not know")
    return lines


def _compare_text(
    client: "MlflowClient", version: "ModelVersion", earlier: "ModelVersion", task: TaskParts
) -> list[str]:
    """Compare the examples of dev and test: the registry has no others."""
    data, earlier_data = (json.loads(each.tags.get(DATA_TAG, "{}")) for each in (version, earlier))
    if data == earlier_data or not (data and earlier_data):
        return []  # the usual case: nothing has to be downloaded
    words, earlier_words = (
        pa.concat_arrays([task.scores.list_texts(split) for split in read_version_predictions(client, each).values()])
        for each in (version, earlier)
    )
    lines = []
    shared = count_shared_sentences(words, earlier_words)
    if shared < SAME_CORPUS_SHARE * len(words):
        lines.append(
            f"it was made from {', '.join(data)}, and {shared or 'none'} of the {len(words)} {task.words.examples} in "
            f"its dev and test are among those of {_label(earlier)}, which was made from {', '.join(earlier_data)}"
        )
    scripts = find_foreign_scripts(words, earlier_words)
    if scripts:
        lines.append(f"its text is written in {' and '.join(scripts)}, that of {_label(earlier)} is not")
    return lines


def _label(version: "ModelVersion") -> str:
    return f"{version.name}/{version.version}"
