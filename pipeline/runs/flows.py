"""The stages as Prefect flows: what is logged, and how a flow ends. DVC decides whether a stage is up to date.

A flow reports its result in the message of its final state. The server keeps that message, so it survives a response
that is lost and requested again; a return value does not.
"""

import contextvars
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import flow, get_run_logger
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from pipeline.checkout.dvc import StageFailedError, reproduce
from pipeline.checkout.layout import EVALUATE, PARAMS, REGISTER, locate, pipeline_folder
from pipeline.checkout.params_file import load_own_task
from pipeline.checkout.status import Outcome, is_registered
from pipeline.registry.gate import promote_new
from pipeline.runs.page import create_page, tabulate_scores
from pipeline.terminal import draw_progress
from stages.config.register import Params
from stages.errors import UserError
from stages.params import load_params
from stages.tracking.environment import FLOW_RUN
from stages.tracking.registry import read_marker

RUN_FLOW, STAGE_FLOW = "tuneline", "tuneline-stage"  # names of the flows that are deployed
# Names of failed states, which tell a run whether to retry.
USER_FAULT_STATE, TRY_AGAIN_STATE = "UserFault", "TryAgain"
PERCENT = re.compile(r"(\d+)%\|")
PROGRESS_SECONDS = 5  # the least time between two updates of a progress artifact


@flow(name="stage", flow_run_name="{stage}", validate_parameters=False)
def run_stage(stage: str) -> State[Any]:
    """Run one stage through DVC and log its output; the message of the completed state is its `Outcome`."""
    logger = get_run_logger()
    os.environ[FLOW_RUN] = str(flow_run.id)

    def log_line(line: str) -> None:
        draw_progress("")
        logger.info(line)

    try:
        with _progress_reporter(stage) as on_progress:
            outcome = reproduce(stage, on_line=log_line, on_progress=on_progress)
            if stage == REGISTER and not is_registered():
                # Its output came from the cache, but DVC does not know whether the registry has the model.
                outcome = reproduce(stage, on_line=log_line, on_progress=on_progress, force=True)
    except StageFailedError as failure:
        name = USER_FAULT_STATE if failure.is_user_error else TRY_AGAIN_STATE if failure.is_retryable else None
        return Failed(name=name, message=str(failure))
    if stage == EVALUATE:
        description = load_own_task().presentation.SCORES_TITLE
        create_table_artifact(tabulate_scores(), key="scores", description=description)
    return Completed(message=outcome)


@flow(name=RUN_FLOW, flow_run_name="run", validate_parameters=False)
def run_pipeline(stages: list[str]) -> State[Any]:
    """Run stages one after another; the first that fails ends the run. `parse_outcomes` reads the message."""
    outcomes: dict[str, Outcome] = {}
    for stage in stages:
        state = run_stage(stage, return_state=True)
        if not state.is_completed():
            return Failed(name=state.name, message=state.message)
        outcomes[stage] = parse_outcome(state)
    model = read_marker(pipeline_folder()) if REGISTER in outcomes else None
    if model:
        create_page(outcomes, model, notes=auto_promote(model.name))
    return Completed(message=", ".join(f"{stage} {outcome}" for stage, outcome in outcomes.items()))


def parse_outcome(state: State[Any]) -> Outcome:
    """Read the outcome of a stage from the completed state of its flow."""
    return cast(Outcome, state.message)


def parse_outcomes(state: State[Any]) -> dict[str, Outcome]:
    """Read the outcome of each stage from the completed state of a run."""
    return cast(dict[str, Outcome], dict(part.split(" ") for part in (state.message or "").split(", ")))


def auto_promote(name: str) -> list[str]:
    """Promote a new version if the gate accepts it and `register.auto_promote` is set; return notes for the page."""
    register = load_params(locate(PARAMS), Params).register_
    if not register.auto_promote:
        return []
    try:
        note = promote_new(name, register.gate)
    except UserError as error:  # the run itself has succeeded
        note = f"not promoted: {error}"
    if note is None:
        return []
    get_run_logger().info(note)
    return [note]


@contextmanager
def _progress_reporter(stage: str) -> Iterator[Callable[[str], None]]:
    """Provide a function that shows a stage's progress: on the terminal, and every few seconds as an artifact.

    A thread updates the artifact, so that a server that is slow or down does not delay the stage.
    """
    artifact: UUID | None = None
    update: Future[None] | None = None
    last_update = 0.0

    def update_artifact(percent: float, line: str) -> None:
        nonlocal artifact
        with suppress(httpx.HTTPError):
            if artifact is None:
                created = create_progress_artifact(percent, key=f"{stage}-progress", description=line)
                artifact = cast(UUID, created)
            else:
                update_progress_artifact(artifact, percent, description=line)

    def on_progress(line: str) -> None:
        nonlocal update, last_update
        draw_progress(line)
        match = PERCENT.search(line)
        if match and time.monotonic() - last_update >= PROGRESS_SECONDS and (update is None or update.done()):
            last_update = time.monotonic()
            update = executor.submit(contextvars.copy_context().run, update_artifact, float(match[1]), line)

    executor = ThreadPoolExecutor(1)
    try:
        yield on_progress
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def stage_deployment(name: str, stage: str) -> str:
    """The name of the deployment of a stage; `name` is the registered model's."""
    return f"{name}-{stage}"
