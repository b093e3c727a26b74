"""The page of a run in Prefect: outcome of each stage, scores, model and links."""

import os
from typing import Any

from prefect.artifacts import create_markdown_artifact

from pipeline.checkout.layout import METRICS, locate
from pipeline.checkout.params_file import load_own_task
from pipeline.checkout.status import Outcome
from stages.artifacts import read_json
from stages.errors import RegistryError
from stages.statistics.older import without_older
from stages.tracking.client import connect, tracking_uri, translate_errors
from stages.tracking.registry import Registration
from stages.tracking.sync import FLOW_RUN_TAG


def create_page(outcomes: dict[str, Outcome], model: Registration, *, notes: list[str]) -> str:
    """Create the page of the current flow run, with `notes` at its end, and return its summary line."""
    executed = [stage for stage, outcome in outcomes.items() if outcome == "executed"]
    done = f"Ran {', '.join(executed)}" if executed else "Nothing to do: every stage is fresh"
    summary = f"{done}; {model.name} version {model.version}"
    stages = [{"stage": stage, "outcome": outcome} for stage, outcome in outcomes.items()]
    parts = [
        f"{summary}, digest `{model.model_digest[:12]}`",
        _format_table(stages),
        _format_table(tabulate_scores()),
        "\n".join(f"- {note}" for note in [f"MLflow run `{model.mlflow_run}`", *notes]),
    ]
    create_markdown_artifact(key="run", description=summary, markdown="\n\n".join(parts))
    return summary


def tabulate_scores() -> list[dict[str, Any]]:
    """The main scores of the current pipeline's metrics.json, a row for each split and label."""
    return load_own_task().presentation.tabulate_scores(without_older(read_json(locate(METRICS))))


def find_links(model: Registration) -> list[str]:
    """Markdown links to the model's MLflow run and to the flow run that trained it; none if MLflow does not answer."""
    try:
        with translate_errors():
            run = connect().get_run(model.mlflow_run)
    except RegistryError:
        return []
    links = []
    uri = tracking_uri()
    if uri.startswith("http"):
        page = f"{uri.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{model.mlflow_run}"
        links.append(f"[its page in MLflow]({page})")
    flow_run = run.data.tags.get(FLOW_RUN_TAG)
    if flow_run:
        server = os.environ["PREFECT_API_URL"].removesuffix("/api")
        links.append(f"trained by [flow run {flow_run}]({server}/runs/flow-run/{flow_run})")
    return links


def _format_table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table whose columns are the keys of the rows."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(str(value) for value in line)} |" for line in lines)
