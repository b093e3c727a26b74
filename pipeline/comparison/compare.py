"""Compares two registered versions: parameters, data, code, environment, scores and predictions."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.checkout.processes import run_json
from pipeline.checkout.scratch import work_folder
from pipeline.corpora.restore import data_digests, restore_corpus
from pipeline.registry.predictions import (
    compute_f1,
    compute_f1_of_gold_types,
    count_entities,
    have_same_sentences,
    keep_types,
    rescore_version,
)
from pipeline.registry.reproduction import compare_environments
from pipeline.registry.versions import resolve
from stages.errors import UserError, first_line
from stages.statistics.significance import gain_interval, p_value
from stages.tasks.token_classification.entities import Numbers, Truths
from stages.tasks.token_classification.label_set import TypeChange, compare_types
from stages.tasks.token_classification.predictions import Predictions
from stages.tracking.client import connect, translate_errors
from stages.tracking.lineage_record import LineageFiles, LineageRecord, TrainingEnvironment, flatten_params
from stages.tracking.registry import DIGEST_TAG, altered_files, read_lineage
from stages.tracking.version_artifacts import SPLIT, read_version_predictions, read_version_types

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

COMMAND = "compare"
CODE = "stages/"
SIDES = ("first", "second")
EXAMPLES = 100  # of each kind; the counts include all
CHANGES = ("broken", "fixed", "otherwise")
MACHINE = ("gpu", "device", "precision", "threads")  # compared in addition to `compare_environments`


@dataclass(frozen=True)
class Comparison:
    """All differences, in types that JSON takes.

    versions      {"first": {"name", "version", "aliases", "digest", "registered", "mlflow_run", "git", "altered"},
                  "second": …}; `altered` names lineage files that were changed after the registration
    params        {"train.seed": {"first": 13, "second": 14}}; a side without the key is left out
    code          [{"path", "change": "changed", "added" or "removed", "stages"}]
    environment   a line for each difference of the second from the first
    data          {"same_files", "note", "splits", "counts", "examples"}; the last three as
                  stages/tools/compare_corpora.py prints them, and empty if `note` says why nothing was compared
    scores        {"test": {"first": F1, "second": F1, "difference", "interval", "p_value", "per_type"}, "dev": …}; on
                  dev, interval and p-value are None if the two were not scored on the same sentences. All but
                  `per_type` are over the types that both know, as `predictions` are
    predictions   {"sentences", "scored_again", "counts": {"broken", "fixed", "otherwise"}, "examples": […]} of test;
                  None, as `scores` is empty, if `note` says why
    note          a remark on the last two in one line, or None
    """

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

    If they were scored on different test sentences, the first is rescored on those of the second, which takes as long
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
    readings = [{**lineage.record.params["data"], "dir": None} for lineage in (first, second)]
    same = data_digests(first) == data_digests(second)
    nothing: dict[str, Any] = {"same_files": same, "note": None, "splits": {}, "counts": {}, "examples": []}
    if same and readings[0] == readings[1]:
        return nothing | {"note": "the same files, read with the same parameters"}
    try:
        with work_folder(COMMAND) as work:
            section: dict[str, Any] = {"examples": EXAMPLES}
            for side, lineage, reading in zip(SIDES, (first, second), readings, strict=True):
                (work / side).mkdir()
                section[side] = {**reading, "dir": str(restore_corpus(lineage, work / side))}
            params = work / "compare_corpora.json"
            params.write_text(json.dumps({"compare_corpora": section}), encoding="utf-8")
            return nothing | run_json("stages.tools.compare_corpora", params, on_progress=on_progress)
    except UserError as error:
        return nothing | {"note": f"not compared: {' '.join(str(error).split())}"}


def _compare_scores(
    client: "MlflowClient", first: "ModelVersion", second: "ModelVersion"
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None, str | None]:
    """Scores, changed predictions and the note of a comparison."""
    labels = [f"{version.name}/{version.version}" for version in (first, second)]
    notes = []
    try:
        types = compare_types(*(read_version_types(client, version) for version in (first, second)))
        if not types.is_none:
            notes.append(_describe_types(types, *labels))
            if not types.shared:
                return {}, None, f"scores and predictions were not compared: {notes[0]}"
        recorded, after = read_version_predictions(client, first), read_version_predictions(client, second)
        before = dict(recorded)
        if not have_same_sentences(before[SPLIT], after[SPLIT]):
            before[SPLIT] = rescore_version(client, first, second)
            notes.append(f"{labels[0]} was rescored on the test sentences of {labels[1]}")
    except UserError as error:
        return {}, None, f"scores and predictions were not compared: {first_line(error)}"
    scores = {
        split: _compare_f1(before[split], after[split], types=types, recorded=recorded[split])
        for split in after
        if split in before
    }
    changes = _compare_predictions(*(keep_types(each[SPLIT], types.shared) for each in (before, after)))
    rescored = before[SPLIT] is not recorded[SPLIT]
    return scores, {"scored_again": rescored, **changes}, "; ".join(notes) or None


def _describe_types(types: TypeChange, first: str, second: str) -> str:
    """The types that only one of two versions knows, and those that both know, in one line."""
    shared = f"they are compared on {', '.join(types.shared)}" if types.shared else "they have no type in common"
    sides = ((first, types.vanished), (second, types.appeared))
    return "; ".join([*(f"only {label} knows {', '.join(names)}" for label, names in sides if names), shared])


def _compare_f1(before: Predictions, after: Predictions, *, types: TypeChange, recorded: Predictions) -> dict[str, Any]:
    """Strict entity F1 of both, over the types that both know and by type, and the significance of the difference.

    The p-value is one-sided, as in the promotion gate: the probability of a difference at least as large in the same
    direction, if both models were equally good. On a type that only the first knows its F1 is that of `recorded`, its
    own evaluation: the sentences of the second have no such type.
    """
    lost, gained = compute_f1_of_gold_types(recorded), compute_f1(after)[1]
    alone = {name: {"first": lost.get(name), "second": None} for name in types.vanished}
    alone |= {name: {"first": None, "second": gained.get(name)} for name in types.appeared}
    before, after = keep_types(before, types.shared), keep_types(after, types.shared)
    (first, first_types), (second, second_types) = compute_f1(before), compute_f1(after)
    interval, p = None, None
    if have_same_sentences(before, after):
        old, new = count_entities(before), count_entities(after)
        interval, p = gain_interval(old, new), p_value(old, new) if second >= first else p_value(new, old)
    return {
        "first": first,
        "second": second,
        "difference": second - first,
        "interval": interval,
        "p_value": p,
        "per_type": alone
        | {
            name: {"first": first_types.get(name), "second": second_types.get(name)}
            for name in sorted(first_types | second_types)
        },
    }


def _compare_predictions(before: Predictions, after: Predictions) -> dict[str, Any]:
    """The sentences with different predictions, by the kind of change; both must be for the same sentences.

    A sentence is `fixed` if only the second has all its tags right, `broken` if only the first has, else `otherwise`.
    """
    gold_W, first_W, second_W = before.gold.tags_W, before.predicted.tags_W, after.predicted.tags_W
    bounds = before.gold.bounds
    differs_S = _any_word(first_W != second_W, bounds)
    first_wrong_S, second_wrong_S = _any_word(first_W != gold_W, bounds), _any_word(second_W != gold_W, bounds)
    kinds = {
        "broken": differs_S & ~first_wrong_S,
        "fixed": differs_S & ~second_wrong_S,
        "otherwise": differs_S & first_wrong_S & second_wrong_S,
    }
    examples = []
    for kind in CHANGES:
        for sentence in np.flatnonzero(kinds[kind])[:EXAMPLES].tolist():
            words = slice(bounds[sentence], bounds[sentence + 1])
            tags = {
                "gold": gold_W[words].tolist(), "first": first_W[words].tolist(), "second": second_W[words].tolist()
            }  # fmt: skip
            examples.append({"kind": kind, "sentence": sentence + 1, "words": before.words[sentence].as_py(), **tags})
    return {
        "sentences": before.gold.sentences,
        "counts": {kind: int(kinds[kind].sum()) for kind in CHANGES},
        "examples": examples,
    }


def _any_word(mask_W: Truths, bounds: Numbers) -> Truths:
    """Whether the mask holds for any word of each sentence."""
    any_S: Truths = np.diff(np.append(0, np.cumsum(mask_W))[bounds]) > 0
    return any_S
