"""The stages as Prefect flows: when one runs, what is logged, how it ends. What is up to date is DVC's to say."""

import sys
from typing import Any, cast

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Failed

from pipeline.workspace import REGISTER, How, StageFailedError, is_registered, reproduce

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
