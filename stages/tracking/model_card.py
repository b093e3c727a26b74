"""The model card: what a version is, was made of, scores and cannot do, in markdown, as its description in MLflow.

After Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from typing import Any

LIMIT = 5000  # characters that MLflow's database keeps of a description
SHOWN_TYPES = 20
NONE = "none known"


def card(name: str, training: dict[str, Any], metrics: dict[str, Any], record: dict[str, Any]) -> str:
    """The card of a version of `name`.

    `training` is training.json, `metrics` metrics.json, `record` that of stages/tracking/lineage_record.py.
    """
    parts = [
        _task(name, training, metrics),
        _data(training, record),
        _scores(metrics),
        _limits(training),
        _made(record),
    ]
    text = "\n\n".join(parts)
    return text if len(text) <= LIMIT else text[: LIMIT - 2] + " …"


def _task(name: str, training: dict[str, Any], metrics: dict[str, Any]) -> str:
    types = list(metrics["test"]["entity_strict"]["per_type"])
    return (
        f"# {name}\n\nNamed-entity recognition: strings in, entities of {len(types)} types out "
        f"({_listed(types)}). Fine-tuned from `{training['parameters']['model']['pretrained']}`."
    )


def _data(training: dict[str, Any], record: dict[str, Any]) -> str:
    rows = [
        [split, *(f"{fields[column]:,}" for column in ("sentences", "words", "entities"))]
        for split, fields in training["datasets"].items()
    ]
    return f"## Data\n\n`{record['params']['data']['dir']}`\n\n" + _table(
        ["split", "sentences", "words", "entities"], rows
    )


def _scores(metrics: dict[str, Any]) -> str:
    rows = []
    for split in ("dev", "test"):
        micro = metrics[split]["entity_strict"]["micro"]
        interval = f"{micro['f1_low']:.4f} to {micro['f1_high']:.4f}"
        rows.append(
            [
                split,
                "all",
                *(f"{micro[key]:.4f}" for key in ("f1", "precision", "recall")),
                interval,
                str(micro["support"]),
            ]
        )
    per_type = sorted(metrics["test"]["entity_strict"]["per_type"].items(), key=lambda item: item[1]["f1"])
    for kind, row in per_type[:SHOWN_TYPES]:
        interval = f"{row['f1_low']:.4f} to {row['f1_high']:.4f}"
        figures = (f"{row[key]:.4f}" for key in ("f1", "precision", "recall"))
        rows.append(["test", kind, *figures, interval, str(row["support"])])
    more = "" if len(per_type) <= SHOWN_TYPES else f"\n\nThe {SHOWN_TYPES} worst of {len(per_type)} types."
    columns = ["split", "type", "F1", "precision", "recall", "95 % interval of F1", "entities"]
    return f"## Scores\n\nStrict entity scores.\n\n{_table(columns, rows)}{more}"


def _limits(training: dict[str, Any]) -> str:
    window = training["parameters"]["tokenize"]["window_length"]
    return (
        "## Limits\n\n"
        "- Scored on text like its training data alone; other domains, languages and spellings score lower.\n"
        f"- One seed ({training['parameters']['train']['seed']}) of many: another one moves the scores, as an interval "
        "over sentences does not show.\n"
        f"- Reads {window} sub-words at a time, and each text without those around it.\n"
        "- Entities do not overlap or nest. Scores of entities are not probabilities: see the report on calibration."
    )


def _made(record: dict[str, Any]) -> str:
    git = record["git"]
    commit = f"`{git['commit']}`" if git["commit"] else NONE
    changed = ", with changes that were not committed" if git["dirty"] else ""
    of = f" of {git['remote']}" if git["remote"] else ""
    makers = {name: stage["made_by"] for name, stage in record["stages"].items()}
    rows = [
        [name, *((made[key] or "none") if made else NONE for key in ("time", "flow_run", "commit"))]
        for name, made in makers.items()
    ]
    environment = record["environment"]
    rebuilt = (
        "`tuneline reproduce` makes it again."
        if record["rebuildable"]
        else f"Neither git nor DVC keeps {_listed(record['outside']) or 'its code'}: it cannot be rebuilt elsewhere."
    )
    return (
        f"## Made from\n\nCommit {commit}{changed}{of}. Train key `{record['train_key']}`, model digest "
        f"`{record['digest']}`. Python {environment['python']} on {environment['processor']}, {environment['device']} "
        f"in {environment['precision']}, {environment['threads']} threads. {rebuilt}\n\n"
        + _table(["stage", "computed at", "by flow run", "at commit"], rows)
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_TYPES} more" if len(names) > SHOWN_TYPES else ""
    return ", ".join(f"`{name}`" for name in names[:SHOWN_TYPES]) + more


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |" for line in lines)
