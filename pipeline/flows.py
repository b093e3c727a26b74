"""The stages as Prefect flows: when one runs, what is logged, how it ends. What is up to date is DVC's to say."""

import sys
from typing import Any, cast

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Failed

from pipeline.workspace import EVALUATE, METRICS, REGISTER, How, StageFailedError, is_registered, reproduce
from stages.artifacts import read_json

USER_FAULT_STATE = "UserFault"  # the name of a failed state that no retry can help

CLEAR_LINE = "\r\x1b[K"


@flow(name="stage", flow_run_name="{stage}", validate_parameters=False)
def run_stage(stage: str) -> How | State[Any]:
    """Run one stage through DVC, its output going to Prefect's log line by line."""
    logger = get_run_logger()

    def show(line: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(CLEAR_LINE)
        logger.info(line)

    def draw(progress: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(CLEAR_LINE + progress)
            sys.stderr.flush()

    try:
        how = reproduce(stage, on_line=show, on_progress=draw)
        if stage == REGISTER and not is_registered():
            # Its output came from the cache, and a registry is outside DVC's sight.
            how = reproduce(stage, on_line=show, on_progress=draw, force=True)
    except StageFailedError as failure:
        return Failed(name=USER_FAULT_STATE if failure.is_users_fault else None, message=str(failure))
    if stage == EVALUATE:
        _show_scores()
    return how


@flow(name="tuneline", flow_run_name="run", validate_parameters=False)
def run_pipeline(stages: list[str]) -> dict[str, How] | State[Any]:
    """Run stages one after another; the first that fails ends the run."""
    outcomes: dict[str, How] = {}
    for stage in stages:
        state = run_stage(stage, return_state=True)
        if not state.is_completed():
            return Failed(name=state.name, message=state.message)
        outcomes[stage] = cast(How, state.result())
    return outcomes


def _show_scores() -> None:
    """A table of the strict scores, as an artifact of the flow run."""
    rows = []
    for split, tables in read_json(METRICS).items():
        strict = tables["entity_strict"]
        for name, row in {"all types": strict["micro"], **strict["per_type"]}.items():
            figures = {column: f"{row[column]:.4f}" for column in ("precision", "recall", "f1", "f1_low", "f1_high")}
            rows.append({"split": split, "entities": name, **figures, "support": row["support"]})
    create_table_artifact(rows, key="scores", description="Entity scores, strict; f1_low to f1_high: 95 % interval.")
