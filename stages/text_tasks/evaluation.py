"""The steps of an evaluation that the tasks on texts share."""

from collections.abc import Mapping
from typing import Any

from stages.encoding.files import read_dropped
from stages.encoding.texts import read_texts
from stages.errors import ArtifactError
from stages.reporting.tables import describe_left_out
from stages.statistics.baselines import Fitted
from stages.statistics.names import shorten_score
from stages.text_tasks.inference import Decide, predict_texts
from stages.text_tasks.predictions import P
from stages.training.evaluation import Evaluation, describe_baselines, describe_training

SPLITS = ("test", "dev")


def predict_encoded(evaluation: Evaluation, split: str, decide: Decide[P]) -> P:
    """The predictions for a split, together with its texts; ArtifactError if it is missing or damaged."""
    own = evaluation
    try:
        texts = read_texts(own.encoded, split)
        return predict_texts(own.model, texts, own.compute, own.record, decide, batch_tokens=own.batch_tokens)
    except ArtifactError as error:
        raise ArtifactError(f"{own.encoded / split}.arrow, {error}") from None


def describe_facts(evaluation: Evaluation, *own: tuple[str, str], data: str) -> list[tuple[str, str]]:
    """Label and value of each fact for the head of the report; `own` are the task's, `data` what it was trained on."""
    return [
        *describe_training(evaluation, data=data, score=shorten_score(evaluation.record.parameters["task"]["primary"])),
        *own,
        *describe_left_out(evaluation.manifest.counts, read_dropped(evaluation.encoded)),
    ]


def summarize(metrics: Mapping[str, Any], fitted: Fitted, names: Mapping[str, str]) -> list[str]:
    """Lines for the log: the primary score of each split, and the baselines."""
    return [
        *(_summarize_split(split, metrics[split]["primary"]) for split in reversed(SPLITS)),
        *describe_baselines(fitted, names, metrics),
    ]


def _summarize_split(split: str, primary: Mapping[str, Any]) -> str:
    return (
        f"{split:<4} {shorten_score(primary['name'])} {primary['value']:.4f} "
        f"(95 % interval {primary['low']:.4f} to {primary['high']:.4f}, {primary['support']:,} texts)"
    )
