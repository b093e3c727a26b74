"""Compares two registered versions: parameters, data, code, environment, scores and predictions."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.checkout.processes import run_json
from pipeline.checkout.scratch import work_folder
from pipeline.corpora.restore import data_digests, restore_corpus
from pipeline.registry.predictions import measure_difference, rescore_version
from pipeline.registry.reproduction import compare_environments
from pipeline.registry.versions import resolve
from stages.errors import UserError, first_line
from stages.scoring import LabelChange, Score, TaskParts, compare_labels
from stages.statistics.significance import p_value
from stages.tracking.client import connect, translate_errors
from stages.tracking.lineage_record import LineageFiles, LineageRecord, TrainingEnvironment, flatten_params
from stages.tracking.registry import DIGEST_TAG
from stages.tracking.version_artifacts import (
    SPLIT,
    altered_files,
    load_common_task,
    load_version_task,
    read_lineage,
    read_version_labels,
    read_version_predictions,
)
from stages.training.record import FIRST_TASK

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

COMMAND = "compare"
CODE = "stages/"
SIDES = ("first", "second")
EXAMPLES = 100  # of each kind; the counts include all
MACHINE = ("gpu", "device", "precision", "threads")  # compared in addition to `compare_environments`


@dataclass(frozen=True)
class Comparison:
    """All differences, in types that JSON takes.

    task          the task of the second
    versions      {"first": {"name", "version", "aliases", "digest", "registered", "mlflow_run", "git", "altered"},
                  "second": …}; `altered` names lineage files that were changed after the registration
    params        {"train.seed": {"first": 13, "second": 14}}; a side without the key is left out
    code          [{"path", "change": "changed", "added" or "removed", "stages"}]
    environment   a line for each difference of the second from the first
    data          {"same_files", "note", "splits", "counts", "examples"}; the last three as
                  stages/tools/compare_corpora.py prints them, and empty if `note` says why nothing was compared
    scores        {"test": {"primary": {"name"}, "first": 0.8, "second": 0.9, "difference", "interval", "p_value",
                  "per_label"}, "dev": …}; on dev, interval and p-value are None if the two were not scored on the same
                  examples. All but `per_label` are over the labels that both know, as `predictions` are
    predictions   {"total", "scored_again", "counts": {"broken", "fixed", "otherwise"}, "examples": […]} of test, of so
                  many examples; None, as `scores` is empty, if `note` says why
    note          a remark on the last two in one line, or None
    """

    task: str
    versions: dict[str, dict[str, Any]]
    params: dict[str, dict[str, Any]]
    code: list[dict[str, Any]]
    environment: list[str]
    data: dict[str, Any]
    scores: dict[str, dict[str, Any]]
    predictions: dict[str, Any] | None
    note: str | None


def compare(first: str, second: str, *, on_progress: Callable[[str], None]) -> Comparison:
    """Compare the versions that two references stand for (see `versions.resolve`).

    If they were scored on different test examples, the first is rescored on those of the second, which takes as long
    as evaluate does. `on_progress` receives the states of progress bars. UserError if there is no such version, or if
    its lineage cannot be read.
    """
    with translate_errors():
        client = connect()
        versions = [resolve(client, reference) for reference in (first, second)]
        lineages = [read_lineage(client, version) for version in versions]
        scores, predictions, note = _compare_scores(client, *versions)
    records = [lineage.record for lineage in lineages]
    return Comparison(
        task=load_version_task(versions[1]).name,
        versions={
            side: _describe(version, lineage) for side, version, lineage in zip(SIDES, versions, lineages, strict=True)
        },
        params=_compare_params(*(flatten_params(record.params) for record in records)),
        code=_compare_code(*records),
        environment=_compare_environments(*(record.environment for record in records)),
        data=_compare_data(*lineages, on_progress=on_progress),
        scores=scores,
        predictions=predictions,
        note=note,
    )


def _describe(version: "ModelVersion", lineage: LineageFiles) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": int(version.version),
        "aliases": sorted(version.aliases),
        "digest": version.tags.get(DIGEST_TAG, ""),
        "registered": lineage.record.registered,
        "mlflow_run": version.run_id,
        "git": asdict(lineage.record.git),
        "altered": altered_files(version, lineage),
    }


def _compare_params(first: dict[str, Any], second: dict[str, Any]) -> dict[str, dict[str, Any]]:
    changed = [
        key for key in sorted(first | second) if (key in first, first.get(key)) != (key in second, second.get(key))
    ]
    return {
        key: {side: values[key] for side, values in zip(SIDES, (first, second), strict=True) if key in values}
        for key in changed
    }


def _compare_code(first: LineageRecord, second: LineageRecord) -> list[dict[str, Any]]:
    """The files of stages/ whose content differs, with the stages that read them."""
    digests: list[dict[str, str]] = [{}, {}]
    stages: dict[str, set[str]] = {}
    for files, record in zip(digests, (first, second), strict=True):
        for name, stage in record.stages.items():
            for file in stage.inputs:
                if file.path.startswith(CODE):
                    files[file.path] = file.digest
                    stages.setdefault(file.path, set()).add(name)
    before, after = digests
    return [
        {
            "path": path,
            "change": "added" if path not in before else "removed" if path not in after else "changed",
            "stages": sorted(stages[path]),
        }
        for path in sorted(stages)
        if before.get(path) != after.get(path)
    ]


def _compare_environments(first: TrainingEnvironment, second: TrainingEnvironment) -> list[str]:
    machine = [
        f"{key} {getattr(second, key)} instead of {getattr(first, key)}"
        for key in MACHINE
        if getattr(first, key) != getattr(second, key)
    ]
    return machine + compare_environments(first, second)


def _compare_data(first: LineageFiles, second: LineageFiles, *, on_progress: Callable[[str], None]) -> dict[str, Any]:
    records = [lineage.record.params for lineage in (first, second)]
    tasks = [params.get("task", {"name": FIRST_TASK}) for params in records]
    readings = [{**params["data"], "dir": None} for params in records]
    same = data_digests(first) == data_digests(second)
    nothing: dict[str, Any] = {"same_files": same, "note": None, "splits": {}, "counts": {}, "examples": []}
    if tasks[0]["name"] != tasks[1]["name"]:
        names = " and ".join(task["name"] for task in tasks)
        return nothing | {"note": f"not compared: the tasks are {names}"}
    if same and readings[0] == readings[1]:
        return nothing | {"note": "the same files, read with the same parameters"}
    try:
        with work_folder(COMMAND) as work:
            section: dict[str, Any] = {"examples": EXAMPLES}
            for side, lineage, reading, task in zip(SIDES, (first, second), readings, tasks, strict=True):
                (work / side).mkdir()
                data = {**reading, "dir": str(restore_corpus(lineage, work / side))}
                section[side] = {"task": task, "data": data}
            params = work / "compare_corpora.json"
            params.write_text(json.dumps({"compare_corpora": section}), encoding="utf-8")
            return nothing | run_json("stages.tools.compare_corpora", params, on_progress=on_progress)
    except UserError as error:
        return nothing | {"note": f"not compared: {' '.join(str(error).split())}"}


def _compare_scores(
    client: "MlflowClient", first: "ModelVersion", second: "ModelVersion"
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None, str | None]:
    """Scores, changed predictions and the note of a comparison."""
    names = [f"{version.name}/{version.version}" for version in (first, second)]
    notes = []
    try:
        task = load_common_task(first, second)
        labels = compare_labels(*(read_version_labels(client, version) for version in (first, second)))
        if not labels.is_none:
            notes.append(_describe_labels(labels, *names, task=task))
            if not labels.shared:
                return {}, None, f"scores and predictions were not compared: {notes[0]}"
        recorded, after = read_version_predictions(client, first), read_version_predictions(client, second)
        before = dict(recorded)
        if not task.scores.have_same_examples(before[SPLIT], after[SPLIT]):
            before[SPLIT] = rescore_version(client, first, second)
            notes.append(f"{names[0]} was rescored on the test {task.words.examples} of {names[1]}")
    except UserError as error:
        return {}, None, f"scores and predictions were not compared: {first_line(error)}"
    scores = {
        split: _compare_split(before[split], after[split], labels=labels, recorded=recorded[split], task=task)
        for split in after
        if split in before
    }
    sides = (task.scores.keep_labels(each[SPLIT], labels.shared) for each in (before, after))
    changes = task.scores.list_changes(*sides, limit=EXAMPLES)
    changes["examples"] = [task.add_old_keys(example) for example in changes["examples"]]
    rescored = before[SPLIT] is not recorded[SPLIT]
    return scores, {"scored_again": rescored, **task.add_old_keys(changes)}, "; ".join(notes) or None


def _describe_labels(labels: LabelChange, first: str, second: str, *, task: TaskParts) -> str:
    """The labels that only one of two versions knows, and those that both know, in one line."""
    nothing = f"they have no {task.words.label} in common"
    shared = f"they are compared on {', '.join(labels.shared)}" if labels.shared else nothing
    sides = ((first, labels.vanished), (second, labels.appeared))
    return "; ".join([*(f"only {version} knows {', '.join(names)}" for version, names in sides if names), shared])


def _compare_split(before: Any, after: Any, *, labels: LabelChange, recorded: Any, task: TaskParts) -> dict[str, Any]:
    """The primary score of both, over the labels that both know, by label, and the significance of the difference.

    The p-value is one-sided, as in the promotion gate: the probability of a difference at least as large in the same
    direction, if both models were equally good. On a label that only the first knows its score is that of `recorded`,
    its own evaluation: the examples of the second have no such label.
    """
    scores = task.scores
    lost = {name: score.value for name, score in scores.score_labels(recorded, task.primary).items() if score.support}
    gained = _values(scores.score_labels(after, task.primary))
    alone = {name: {"first": lost.get(name), "second": None} for name in labels.vanished}
    alone |= {name: {"first": None, "second": gained.get(name)} for name in labels.appeared}
    before, after = scores.keep_labels(before, labels.shared), scores.keep_labels(after, labels.shared)
    first, second = scores.primary(before, task.primary), scores.primary(after, task.primary)
    first_labels, second_labels = (_values(scores.score_labels(each, task.primary)) for each in (before, after))
    interval, p = None, None
    if scores.have_same_examples(before, after):
        old, new = scores.measure(before, task.primary), scores.measure(after, task.primary)
        interval = measure_difference(old, new)[1]
        is_better = new.sign * (second["value"] - first["value"]) >= 0
        p = p_value(old, new) if is_better else p_value(new, old)
    return task.add_old_keys(
        {
            "primary": {"name": second["name"]},
            "first": first["value"],
            "second": second["value"],
            "difference": second["value"] - first["value"],
            "interval": interval,
            "p_value": p,
            "per_label": alone
            | {
                name: {"first": first_labels.get(name), "second": second_labels.get(name)}
                for name in sorted(first_labels | second_labels)
            },
        }
    )


def _values(scores: dict[str, Score]) -> dict[str, float]:
    return {name: score.value for name, score in scores.items()}
