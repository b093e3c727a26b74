"""What two registered versions have not in common: parameters, data, code, environment, scores, what they predict."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.checkout.processes import run_json
from pipeline.checkout.scratch import work_folder
from pipeline.corpora.restore import data_digests, fetched
from pipeline.registry.predictions import SPLIT, counts_of, f1_of, predictions_of, same_sentences, scored_again
from pipeline.registry.reproduction import environment_differences
from pipeline.registry.versions import find
from stages.errors import UserError, first_line
from stages.statistics.significance import gain_interval, p_value
from stages.tasks.token_classification.entities import Numbers, Truths
from stages.tasks.token_classification.predictions import Predictions
from stages.tracking.client import connect, reachable
from stages.tracking.lineage_record import LineageFiles, Record, flat
from stages.tracking.registry import DIGEST_TAG, altered_files, read_lineage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

COMMAND = "compare"
CODE = "stages/"
SIDES = ("first", "second")
EXAMPLES = 100  # of each kind; the counts are of all
CHANGES = ("broken", "fixed", "otherwise")
MACHINE = ("gpu", "device", "precision", "threads")  # what a training chose or found, beside the environment


@dataclass(frozen=True)
class Comparison:
    """All that differs, as JSON takes it.

    versions      {"first": {"name", "version", "aliases", "digest", "registered", "mlflow_run", "git", "altered"},
                  "second": …}; `altered` names files of the record that are not those that were registered
    params        {"train.seed": {"first": 13, "second": 14}}; a side that has no such key lacks it here as well
    code          [{"path", "change": "changed", "added" or "removed", "stages"}]
    environment   lines that say what the second was made with instead of what
    data          {"same_files", "note", "splits", "counts", "examples"}; the last three as
                  stages/tools/compare_corpora.py prints them, and empty if `note` says why nothing was compared
    scores        {"test": {"first": F1, "second": F1, "difference", "interval", "p_value", "per_type"}, "dev": …}; on
                  dev, interval and p-value are None if the two were not scored on the same sentences
    predictions   {"sentences", "scored_again", "counts": {"broken", "fixed", "otherwise"}, "examples": […]} of test;
                  None, as `scores` is empty, if `note` says why
    note          what is to be known of the last two, in one line
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
    """Compare the versions that two references stand for (see `registry.find`).

    If they were scored on other test sentences, the first is scored again on those of the second, which takes as long
    as evaluate does. `on_progress` is told the states of progress bars. UserError if there is no such version, or it
    does not tell what made it.
    """
    with reachable():
        client = connect()
        versions = [find(client, reference) for reference in (first, second)]
        origins = [read_lineage(client, version) for version in versions]
        scores, predictions, note = _scored(client, *versions)
    records = [origin.record for origin in origins]
    return Comparison(
        versions={
            side: _described(version, origin) for side, version, origin in zip(SIDES, versions, origins, strict=True)
        },
        params=_params(*(dict(flat(record["params"])) for record in records)),
        code=_code(*records),
        environment=_environment(*(record["environment"] for record in records)),
        data=_data(*origins, on_progress=on_progress),
        scores=scores,
        predictions=predictions,
        note=note,
    )


def _described(version: "ModelVersion", origin: LineageFiles) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": int(version.version),
        "aliases": sorted(version.aliases),
        "digest": version.tags.get(DIGEST_TAG, ""),
        "registered": origin.record["registered"],
        "mlflow_run": version.run_id,
        "git": origin.record["git"],
        "altered": altered_files(version, origin),
    }


def _params(first: dict[str, Any], second: dict[str, Any]) -> dict[str, dict[str, Any]]:
    changed = [
        key for key in sorted(first | second) if (key in first, first.get(key)) != (key in second, second.get(key))
    ]
    return {
        key: {side: values[key] for side, values in zip(SIDES, (first, second), strict=True) if key in values}
        for key in changed
    }


def _code(first: Record, second: Record) -> list[dict[str, Any]]:
    """The files of stages/ that some stage read with another content, with the stages that read them."""
    digests: list[dict[str, str]] = [{}, {}]
    stages: dict[str, set[str]] = {}
    for known, record in zip(digests, (first, second), strict=True):
        for name, stage in record["stages"].items():
            for entry in stage["inputs"]:
                if entry["path"].startswith(CODE):
                    known[entry["path"]] = entry["digest"]
                    stages.setdefault(entry["path"], set()).add(name)
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


def _environment(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    machine = [
        f"{key} {second.get(key)} instead of {first.get(key)}" for key in MACHINE if first.get(key) != second.get(key)
    ]
    return machine + environment_differences(first, second)


def _data(first: LineageFiles, second: LineageFiles, *, on_progress: Callable[[str], None]) -> dict[str, Any]:
    ways = [{**origin.record["params"]["data"], "dir": None} for origin in (first, second)]
    same = data_digests(first) == data_digests(second)
    nothing: dict[str, Any] = {"same_files": same, "note": None, "splits": {}, "counts": {}, "examples": []}
    if same and ways[0] == ways[1]:
        return nothing | {"note": "both were made from the same files, read in the same way"}
    try:
        with work_folder(COMMAND) as work:
            section: dict[str, Any] = {"examples": EXAMPLES}
            for side, origin, way in zip(SIDES, (first, second), ways, strict=True):
                (work / side).mkdir()
                section[side] = {**way, "dir": str(fetched(origin, work / side))}
            params = work / "compare_data.json"
            params.write_text(json.dumps({"compare_data": section}), encoding="utf-8")
            return nothing | run_json("stages.tools.compare_corpora", params, on_progress=on_progress)
    except UserError as error:
        return nothing | {"note": f"not compared: {' '.join(str(error).split())}"}


def _scored(
    client: "MlflowClient", first: "ModelVersion", second: "ModelVersion"
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None, str | None]:
    """Scores, changed predictions and the note of a comparison."""
    note = None
    try:
        before, after = predictions_of(client, first), predictions_of(client, second)
        if not same_sentences(before[SPLIT], after[SPLIT]):
            before[SPLIT] = scored_again(client, first, second)
            names = [f"{version.name}/{version.version}" for version in (first, second)]
            note = f"{names[0]} was scored again, on the test sentences of {names[1]}"
    except UserError as error:
        return {}, None, f"scores and predictions were not compared: {first_line(error)}"
    scores = {split: _score(before[split], after[split]) for split in after if split in before}
    return scores, {"scored_again": note is not None, **_changes(before[SPLIT], after[SPLIT])}, note


def _score(before: Predictions, after: Predictions) -> dict[str, Any]:
    """Strict entity F1 of both, over all types and of each, and how sure the difference is.

    The p-value is one-sided, as that of promotion: how often chance alone would make a difference as large, in its
    direction.
    """
    (first, first_types), (second, second_types) = f1_of(before), f1_of(after)
    interval, chance = None, None
    if same_sentences(before, after):
        old, new = counts_of(before), counts_of(after)
        interval, chance = gain_interval(old, new), p_value(old, new) if second >= first else p_value(new, old)
    return {
        "first": first,
        "second": second,
        "difference": second - first,
        "interval": interval,
        "p_value": chance,
        "per_type": {
            name: {"first": first_types.get(name), "second": second_types.get(name)}
            for name in sorted(first_types | second_types)
        },
    }


def _changes(before: Predictions, after: Predictions) -> dict[str, Any]:
    """The sentences, the same of both, of which the two models said not the same, by what became of them.

    One is `fixed` if all its tags are right now, `broken` if they were and are not, else it changed `otherwise`.
    """
    gold_W, first_W, second_W = before.gold.tags_W, before.predicted.tags_W, after.predicted.tags_W
    bounds = before.gold.bounds
    differs_S = _any(first_W != second_W, bounds)
    wrong_S = _any(first_W != gold_W, bounds), _any(second_W != gold_W, bounds)
    kinds = {
        "broken": differs_S & ~wrong_S[0],
        "fixed": differs_S & ~wrong_S[1],
        "otherwise": differs_S & wrong_S[0] & wrong_S[1],
    }
    examples = []
    for kind in CHANGES:
        for sentence in np.flatnonzero(kinds[kind])[:EXAMPLES].tolist():
            own = slice(bounds[sentence], bounds[sentence + 1])
            tags = {"gold": gold_W[own].tolist(), "first": first_W[own].tolist(), "second": second_W[own].tolist()}
            examples.append({"kind": kind, "sentence": sentence + 1, "words": before.words[sentence].as_py(), **tags})
    return {
        "sentences": before.gold.sentences,
        "counts": {kind: int(kinds[kind].sum()) for kind in CHANGES},
        "examples": examples,
    }


def _any(chosen_W: Truths, bounds: Numbers) -> Truths:
    """Of each sentence whether one of its words is chosen."""
    any_S: Truths = np.diff(np.append(0, np.cumsum(chosen_W))[bounds]) > 0
    return any_S
