"""The model card of a version, in Markdown, for its description in MLflow: task, data, scores, limits, lineage.

After Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from typing import Any

from stages.tracking.lineage_record import LineageRecord
from stages.training.record import TrainingRecord

LIMIT = 5000  # characters; MLflow's database keeps no more of a description
MAX_LISTED = 20  # entity types, or files
UNKNOWN = "unknown"


def write_card(name: str, training: TrainingRecord, metrics: dict[str, Any], record: LineageRecord) -> str:
    """The card of a version of the registered model `name`.

    `metrics` is the content of metrics.json.
    """
    parts = [
        _task(name, training, metrics),
        _data(training, record),
        _scores(metrics),
        _limits(training),
        _lineage(record),
    ]
    text = "\n\n".join(parts)
    return text if len(text) <= LIMIT else text[: LIMIT - 2] + " …"


def _task(name: str, training: TrainingRecord, metrics: dict[str, Any]) -> str:
    types = list(metrics["test"]["entity_strict"]["per_type"])
    return (
        f"# {name}\n\nNamed-entity recognition: strings in, entities of {len(types)} types out "
        f"({_join_names(types)}). Fine-tuned from `{training.parameters['model']['pretrained']}`."
    )


def _data(training: TrainingRecord, record: LineageRecord) -> str:
    rows = [
        [split, *(f"{fields[column]:,}" for column in ("sentences", "words", "entities"))]
        for split, fields in training.datasets.items()
    ]
    dropped = sum(fields.get("dropped", 0) for fields in training.datasets.values())
    left_out = f"\n\nSentences left out for faults: {dropped:,} (`data.faulty: drop`)." if dropped else ""
    table = _table(["split", "sentences", "words", "entities"], rows)
    return f"## Data\n\n`{record.params['data']['dir']}`\n\n{table}{left_out}"


def _scores(metrics: dict[str, Any]) -> str:
    rows = [_score_row(split, "all", metrics[split]["entity_strict"]["micro"]) for split in ("dev", "test")]
    per_type = sorted(metrics["test"]["entity_strict"]["per_type"].items(), key=lambda item: item[1]["f1"])
    rows += [_score_row("test", name, scores) for name, scores in per_type[:MAX_LISTED]]
    more = "" if len(per_type) <= MAX_LISTED else f"\n\nThe {MAX_LISTED} types with the lowest F1 of {len(per_type)}."
    columns = ["split", "type", "F1", "precision", "recall", "95 % interval of F1", "entities"]
    return f"## Scores\n\nStrict entity scores.\n\n{_table(columns, rows)}{more}"


def _score_row(split: str, name: str, scores: dict[str, Any]) -> list[str]:
    interval = f"{scores['f1_low']:.4f} to {scores['f1_high']:.4f}"
    return [
        split, name, *(f"{scores[key]:.4f}" for key in ("f1", "precision", "recall")), interval, str(scores["support"])
    ]  # fmt: skip


def _limits(training: TrainingRecord) -> str:
    window = training.parameters["tokenize"]["window_length"]
    return (
        "## Limits\n\n"
        "- Evaluated only on text like its training data; expect lower scores on other domains, languages and "
        "spellings.\n"
        f"- Trained with one seed ({training.parameters['train']['seed']}); another seed changes the scores, which "
        "the intervals over sentences do not include.\n"
        f"- Reads at most {window} tokens at a time, and each text without its context.\n"
        "- Entities do not overlap or nest. Their scores are not calibrated probabilities: see the report."
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


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |" for line in lines)
