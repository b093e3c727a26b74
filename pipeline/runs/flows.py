"""The stages as Prefect flows: when one runs, what is logged, how it ends. What is up to date is DVC's to say.

What a flow has to tell is the message of its final state: that is kept by a server, and still there if its answer was
lost on the way and asked for again, as a flow's return value is not.
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

from pipeline.checkout.dvc import How, StageFailedError, reproduce
from pipeline.checkout.layout import EVALUATE, PARAMS, REGISTER
from pipeline.checkout.status import is_registered
from pipeline.registry.gate import promote_new
from pipeline.runs.page import publish, score_rows
from pipeline.terminal import draw
from stages.config.register import Params
from stages.errors import UserError
from stages.params import load_params
from stages.tracking.environment import FLOW_RUN
from stages.tracking.registry import read_marker

RUN_FLOW, STAGE_FLOW = "tuneline", "tuneline-stage"  # of deployments
# Names of failed states, by which a run knows whether to try again.
USER_FAULT_STATE, TRY_AGAIN_STATE = "UserFault", "TryAgain"
PERCENT = re.compile(r"(\d+)%\|")
PROGRESS_SECONDS = 5  # between two updates of a progress artifact


@flow(name="stage", flow_run_name="{stage}", validate_parameters=False)
def run_stage(stage: str) -> State[Any]:
    """Run one stage through DVC, its output going to Prefect's log line by line; the message is its `How`."""
    logger = get_run_logger()
    os.environ[FLOW_RUN] = str(flow_run.id)

    def show(line: str) -> None:
        draw("")
        logger.info(line)

    try:
        with _progress_of(stage) as on_progress:
            how = reproduce(stage, on_line=show, on_progress=on_progress)
            if stage == REGISTER and not is_registered():
                # Its output came from the cache, and a registry is outside DVC's sight.
                how = reproduce(stage, on_line=show, on_progress=on_progress, force=True)
    except StageFailedError as failure:
        name = USER_FAULT_STATE if failure.is_users_fault else TRY_AGAIN_STATE if failure.may_try_again else None
        return Failed(name=name, message=str(failure))
    if stage == EVALUATE:
        description = "Entity scores, strict; f1_low to f1_high: 95 % interval."
        create_table_artifact(score_rows(), key="scores", description=description)
    return Completed(message=how)


@flow(name=RUN_FLOW, flow_run_name="run", validate_parameters=False)
def run_pipeline(stages: list[str]) -> State[Any]:
    """Run stages one after another; the first that fails ends the run. The message is for `outcomes_in`."""
    outcomes: dict[str, How] = {}
    for stage in stages:
        state = run_stage(stage, return_state=True)
        if not state.is_completed():
            return Failed(name=state.name, message=state.message)
        outcomes[stage] = how_of(state)
    model = read_marker() if REGISTER in outcomes else None
    if model:
        publish(outcomes, model, notes=promotion_notes(model.name))
    return Completed(message=", ".join(f"{stage} {how}" for stage, how in outcomes.items()))


def how_of(state: State[Any]) -> How:
    """What the completed state of a stage's flow tells."""
    return cast(How, state.message)


def outcomes_in(state: State[Any]) -> dict[str, How]:
    """How each stage came to be, as the completed state of a run tells."""
    return cast(dict[str, How], dict(part.split(" ") for part in (state.message or "").split(", ")))


def promotion_notes(name: str) -> list[str]:
    """What the gate says of a new version, and what follows, if params.yaml has a run do that."""
    register = load_params(PARAMS, Params).register_
    if not register.auto_promote:
        return []
    try:
        said = promote_new(name, register.gate)
    except UserError as error:  # the run itself has ended well
        said = f"not promoted: {error}"
    if said is None:
        return []
    get_run_logger().info(said)
    return [said]


@contextmanager
def _progress_of(stage: str) -> Iterator[Callable[[str], None]]:
    """What shows the states of a stage's progress bar: on the terminal, and now and then as an artifact of the run.

    The artifact is told from a thread of its own, so that a slow or absent server holds no stage up.
    """
    artifact: UUID | None = None
    told: Future[None] | None = None
    shown = 0.0

    def tell(percent: float, line: str) -> None:
        nonlocal artifact
        with suppress(httpx.HTTPError):
            if artifact is None:
                created = create_progress_artifact(percent, key=f"{stage}-progress", description=line)
                artifact = cast(UUID, created)
            else:
                update_progress_artifact(artifact, percent, description=line)

    def on_progress(line: str) -> None:
        nonlocal told, shown
        draw(line)
        found = PERCENT.search(line)
        if found and time.monotonic() - shown >= PROGRESS_SECONDS and (told is None or told.done()):
            shown = time.monotonic()
            told = teller.submit(contextvars.copy_context().run, tell, float(found[1]), line)

    teller = ThreadPoolExecutor(1)
    try:
        yield on_progress
    finally:
        teller.shutdown(wait=False, cancel_futures=True)


def stage_deployment(name: str, stage: str) -> str:
    """The deployment of a stage of the project whose registered model has this name."""
    return f"{name}-{stage}"
