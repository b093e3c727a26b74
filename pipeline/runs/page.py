"""What a run leaves on its page in Prefect: how each stage ended, the scores, the model, and links."""

import os
from typing import Any

from prefect.artifacts import create_markdown_artifact

from pipeline.checkout.dvc import How
from pipeline.checkout.layout import METRICS
from stages.artifacts import read_json
from stages.errors import RegistryError
from stages.tracking.client import connect, reachable, tracking_uri
from stages.tracking.registry import Registration
from stages.tracking.sync import FLOW_RUN_TAG


def publish(outcomes: dict[str, How], model: Registration, *, notes: list[str]) -> str:
    """Make the page of the present flow run, `notes` at its end; return its first line, which says what was done."""
    executed = [stage for stage, how in outcomes.items() if how == "executed"]
    done = f"Ran {', '.join(executed)}" if executed else "Nothing to do: every stage is fresh"
    said = f"{done}; {model.name} version {model.version}"
    stages = [{"stage": stage, "was": how} for stage, how in outcomes.items()]
    parts = [
        f"{said}, digest `{model.model_digest[:12]}`",
        _table(stages),
        _table(score_rows()),
        "\n".join(f"- {note}" for note in [f"MLflow run `{model.mlflow_run}`", *notes]),
    ]
    create_markdown_artifact(key="run", description=said, markdown="\n\n".join(parts))
    return said


def score_rows() -> list[dict[str, Any]]:
    """The strict scores of the last evaluation, a row for each split and type of entity."""
    rows = []
    for split, tables in read_json(METRICS).items():
        strict = tables["entity_strict"]
        for name, row in {"all types": strict["micro"], **strict["per_type"]}.items():
            figures = {column: f"{row[column]:.4f}" for column in ("precision", "recall", "f1", "f1_low", "f1_high")}
            rows.append({"split": split, "entities": name, **figures, "support": row["support"]})
    return rows


def links(model: Registration) -> list[str]:
    """Where the model's MLflow run is to be seen, and the flow run that trained it; none if MLflow is away."""
    try:
        with reachable():
            run = connect().get_run(model.mlflow_run)
    except RegistryError:
        return []
    found = []
    uri = tracking_uri()
    if uri.startswith("http"):
        page = f"{uri.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{model.mlflow_run}"
        found.append(f"[its page in MLflow]({page})")
    maker = run.data.tags.get(FLOW_RUN_TAG)
    if maker:
        server = os.environ["PREFECT_API_URL"].removesuffix("/api")
        found.append(f"trained by [flow run {maker}]({server}/runs/flow-run/{maker})")
    return found


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(str(value) for value in line)} |" for line in lines)
