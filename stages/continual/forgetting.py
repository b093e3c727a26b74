"""The scores of older corpora, and what a model has forgotten of them since its parent (see parent.py).

Forgetting is by how much the parent's primary score on a corpus is better than the model's, over the labels that the
parent knows: others an older corpus may lack, however right they are. It has the 95 % interval of the paired bootstrap,
and is below 0 if the model is better. (Chaudhry et al., 2018, "Riemannian Walk for Incremental Learning", take
accuracy, and the best of all models before.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from stages.continual.corpora import read_corpora
from stages.continual.parent import find_parent
from stages.encoding.files import Manifest
from stages.modeling.classifier import labels_of, name_outputs
from stages.modeling.device import move_to
from stages.modeling.head import TaskModel, load_model
from stages.modeling.pretrained import find_pretrained
from stages.scoring import Scores
from stages.statistics.significance import gain, gain_interval
from stages.training.evaluation import Evaluation, TaskReport
from stages.training.record import TrainingRecord

NO_THRESHOLD = 1.0  # of a probability, which no label that is not known reaches
SPLIT = "test"
CONFIG = "config.json"


def score_older(
    evaluation: Evaluation, trained: Path, folder: Path, *, task: TaskModel, report: TaskReport, scores: Scores
) -> dict[str, dict[str, Any]]:
    """What metrics.json says of each corpus in `folder`, by name: `primary`, and `forgetting`.

    `trained` is the folder of the model of `evaluation`. There is no `forgetting` without a parent, nor of a corpus
    with none of its labels. ArtifactError if a file is damaged, PretrainedError if the parent is no longer there.
    """
    corpora = list(read_corpora(folder))
    record, found = evaluation.record, {}
    parent = find_parent(find_pretrained(**record.encoder), record.task) if corpora else None
    primary: str = record.parameters["task"].get("primary", scores.PRIMARY)
    compared_by = scores.COMPARED_BY.get(primary, primary)
    for name, place, manifest in corpora:
        own = _adapt(evaluation, load_model(task, trained), record, place, manifest)
        after = report.predict_split(own, SPLIT)
        found[name] = {"primary": scores.primary(after, primary)}
        if parent is not None and set(parent.labels) & set(manifest.labels):
            theirs = _adapt(evaluation, load_model(task, parent.folder), parent.record, place, manifest)
            before = report.predict_split(theirs, SPLIT)
            known = scores.read_labels(parent.folder / CONFIG)
            new, old = (scores.measure(scores.keep_labels(each, known), compared_by) for each in (after, before))
            low, high = gain_interval(new, old)
            found[name]["forgetting"] = {
                "value": gain(new, old), "low": low, "high": high, "before": old.value, "after": new.value
            }  # fmt: skip
    return found


def _adapt(
    evaluation: Evaluation, model: PreTrainedModel, record: TrainingRecord, encoded: Path, manifest: Manifest
) -> Evaluation:
    """The evaluation of a model on an older corpus, with an output for each label of that."""
    before = labels_of(model)
    name_outputs(model, manifest.labels)
    move_to(model, evaluation.compute)
    named = replace(record, decision=name_decision(record.decision, before, manifest.labels))
    return replace(evaluation, model=model, record=named, encoded=encoded, manifest=manifest)


def name_decision(decision: Mapping[str, Any], before: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """What was fitted for a model, for other labels: a list in it has a value for each label, in their order."""
    return {
        key: [dict(zip(before, value, strict=True)).get(label, NO_THRESHOLD) for label in labels]
        if isinstance(value, list)
        else value
        for key, value in decision.items()
    }
