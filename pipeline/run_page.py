"""What a run on workers leaves on its page in Prefect: how each stage ended, the scores, the model, and links."""

import os
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from pipeline.checkouts import Pinned, without_password
from pipeline.flows import score_rows
from pipeline.workspace import How
from stages.tracking import FLOW_RUN_TAG, connect, reachable, read_marker, tracking_uri


def publish(outcomes: dict[str, How], pinned: Pinned) -> str:
    """Make the page of the present flow run; its first line, which says what was done."""
    marker = read_marker()
    assert marker is not None  # the run has just seen to that
    model = f"{marker.name} version {marker.version}"
    executed = [stage for stage, how in outcomes.items() if how == "executed"]
    said = f"Ran {', '.join(executed)}: {model}" if executed else f"Nothing to do: every stage is fresh; {model}"
    links = [f"MLflow run: {_link(marker.mlflow_run, _mlflow_page(marker.mlflow_run))}"]
    maker = _flow_run_of(marker.mlflow_run)
    if maker and maker != flow_run.id:
        links.append(f"Trained by flow run {_link(maker, flow_run_page(maker))}")
    create_markdown_artifact(
        key="run",
        description=said,
        markdown=f"""{said}, digest `{marker.model_digest[:12]}`

Commit `{pinned.commit}` of {without_password(pinned.repository)}{_with(pinned.settings)}

{_table([{"stage": stage, "was": how} for stage, how in outcomes.items()])}

{_table(score_rows())}

{chr(10).join(f"- {link}" for link in links)}
""",
    )
    return said


def flow_run_page(run_id: str) -> str | None:
    """Where the Prefect server shows a flow run; None without a server."""
    api = os.environ.get("PREFECT_API_URL", "")
    return f"{api.removesuffix('/api')}/runs/flow-run/{run_id}" if api else None


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(str(value) for value in line)} |" for line in lines)


def _with(settings: list[str]) -> str:
    return f", with `{' '.join(settings)}`" if settings else ""


def _link(text: str, address: str | None) -> str:
    return f"[{text}]({address})" if address else f"`{text}`"


def _mlflow_page(run_id: str) -> str | None:
    uri = tracking_uri()
    if not uri.startswith("http"):
        return None
    return f"{uri.rstrip('/')}/#/experiments/{_run(run_id).info.experiment_id}/runs/{run_id}"


def _flow_run_of(run_id: str) -> str | None:
    tag: str | None = _run(run_id).data.tags.get(FLOW_RUN_TAG)
    return tag


def _run(run_id: str) -> Any:
    with reachable():
        return connect().get_run(run_id)
