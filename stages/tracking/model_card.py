"""The model card of a version, in Markdown, for its description in MLflow: task, data, scores, limits, lineage.

After Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.scoring import Presentation, Table, TaskParts
from stages.statistics.names import shorten_score
from stages.statistics.older import describe_older
from stages.tracking.lineage_record import LineageRecord
from stages.tracking.parent import find_parent_version
from stages.training.record import TrainingRecord

LIMIT = 5000  # characters; MLflow's database keeps no more of a description
MAX_LISTED = 20  # labels, or files
UNKNOWN = "unknown"
GAP = (
    "On test. A gap below 0 says that the other examples are answered better; p is the probability of a gap as large "
    "by chance."
)


def write_card(
    name: str,
    *,
    training: TrainingRecord,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    record: LineageRecord,
    task: TaskParts,
) -> str:
    """The card of a version of the registered model `name`.

    `config` is the content of the model's config.json, `metrics` that of metrics.json.
    """
    words = task.presentation
    parts = [
        _task(name, training, metrics, words),
        _use(name, training, config, words),
        _data(training, record, words),
        _scores(metrics, words),
        *_older(metrics),
        *_slices(metrics, task),
        _limits(training, task),
        _lineage(record),
    ]
    text = "\n\n".join(parts)
    return text if len(text) <= LIMIT else text[: LIMIT - 2] + " …"


def _task(name: str, training: TrainingRecord, metrics: Mapping[str, Any], words: Presentation) -> str:
    sentence, labels = words.describe_task(metrics)
    parent = find_parent_version(training.parameters["model"])
    pretrained = parent.reference if parent else training.parameters["model"]["pretrained"]
    weights = f" Weights trained: {training.trained_weights}." if training.weights else ""
    return f"# {name}\n\n{sentence} ({_join_names(labels)}). Fine-tuned from `{pretrained}`.{weights}"


def _use(name: str, training: TrainingRecord, config: Mapping[str, Any], words: Presentation) -> str:
    sample = json.dumps([words.make_sample(config)], ensure_ascii=False)
    call = f'mlflow.pyfunc.load_model("models:/{name}/VERSION").predict({sample})'
    lines = words.explain_answers(config, training.parameters, training.decision)
    return f"## Use\n\n    {call}\n\n" + "\n".join(f"- {line}" for line in lines)


def _data(training: TrainingRecord, record: LineageRecord, words: Presentation) -> str:
    replayed = training.parameters["train"].get("replay", {}).get("corpus")
    old = f", with old examples of `{replayed}`" if replayed else ""
    return f"## Data\n\n`{record.params['data']['dir']}`{old}\n\n{_format(words.tabulate_data(training.datasets))}"


def _scores(metrics: Mapping[str, Any], words: Presentation) -> str:
    return f"## Scores\n\n{_format(words.tabulate_card(metrics, limit=MAX_LISTED))}"


def _older(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The scores of older corpora."""
    lines = [f"- `{name}`: {words}" for name, words in describe_older(metrics)]
    if lines:
        yield "## Older corpora\n\n" + "\n".join(lines)


def _slices(metrics: Mapping[str, Any], task: TaskParts) -> Iterator[str]:
    """The primary score of each slice of test, or what stands for it, those that are answered worst first."""
    primary = task.scores.find_primary(metrics["test"])["name"]
    score = shorten_score(task.scores.COMPARED_BY.get(primary, primary))
    for column, slices in metrics["test"].get("slices", {}).items():
        worst = sorted(slices.items(), key=lambda item: item[1]["gap"] or 0.0)
        rows = [
            [
                name,
                f"{row['value']:.4f}",
                f"{row['low']:.4f} to {row['high']:.4f}",
                *(["", ""] if row["gap"] is None else [f"{row['gap']:+.4f}", f"{row['p_value']:.4f}"]),
                f"{row['support']:,}",
            ]
            for name, row in worst[:MAX_LISTED]
        ]
        columns = [column, score, "95 % interval", "gap", "p", "examples"]
        more = (
            f"The {MAX_LISTED} slices of {len(slices):,} that are answered worst." if len(slices) > MAX_LISTED else ""
        )
        yield f"## Slices by {column}\n\n{_format(Table(columns, rows, caption=GAP, note=more))}"


def _limits(training: TrainingRecord, task: TaskParts) -> str:
    own = "\n".join(f"- {line}" for line in task.presentation.list_limits(training.parameters))
    return (
        "## Limits\n\n"
        "- Evaluated only on text like its training data; expect lower scores on other domains, languages and "
        "spellings.\n"
        f"- Trained with one seed ({training.parameters['train']['seed']}); another seed changes the scores, which "
        f"the intervals over {task.words.examples} do not include.\n"
        f"{own}"
    )


def _lineage(record: LineageRecord) -> str:
    git = record.git
    commit = f"`{git.commit}`" if git.commit else UNKNOWN
    changes = " with uncommitted changes" if git.dirty else ""
    repository = f" of {git.remote}" if git.remote else ""
    rows = []
    for name, stage in record.stages.items():
        made = stage.made_by
        cells = (made.time, made.flow_run, made.commit) if made else (UNKNOWN, UNKNOWN, UNKNOWN)
        rows.append([name, *(cell or "none" for cell in cells)])
    environment = record.environment
    rebuild = "`tuneline reproduce` rebuilds it."
    if not git.commit:
        rebuild = f"It cannot be rebuilt, for its code is not known: {git.reason}."
    elif not record.rebuildable:
        rebuild = f"Neither git nor DVC tracks {_join_names(record.outside)}: it cannot be rebuilt elsewhere."
    return (
        f"## Lineage\n\nCommit {commit}{changes}{repository}. Train key `{record.train_key}`, model digest "
        f"`{record.digest}`. Python {environment.python} on {environment.processor}, {environment.device} "
        f"in {environment.precision}, {environment.threads} threads. {rebuild}\n\n"
        + _table(["stage", "computed at", "flow run", "commit"], rows)
    )


def _join_names(names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(f"`{name}`" for name in names[:MAX_LISTED]) + more


def _format(table: Table) -> str:
    parts = (table.caption, _table(table.columns, table.rows), table.note)
    return "\n\n".join(part for part in parts if part)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |" for line in lines)
