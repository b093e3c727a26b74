"""The flows that deployments run on workers: the run, which waits, and the stage, which computes.

Nothing but a commit, settings and names goes through Prefect; data goes from worker to worker through the DVC remote.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.deployments import run_deployment
from prefect.runtime import deployment
from prefect.states import Cancelled, Cancelling, Completed, Failed
from prefect.tasks import Task, exponential_backoff

from pipeline.checkout.dvc import How
from pipeline.checkout.layout import CHECKPOINT_DIR, PARAMS, REGISTER, STAGES
from pipeline.checkout.params_file import value_of
from pipeline.checkout.status import is_registered
from pipeline.runs import artifact_transfer
from pipeline.runs.clones import Pinned, commit_of, remove_unused, workspace
from pipeline.runs.flows import (
    RUN_FLOW,
    STAGE_FLOW,
    TRY_AGAIN_STATE,
    USER_FAULT_STATE,
    how_of,
    promotion_notes,
    run_stage,
    stage_deployment,
)
from pipeline.runs.page import links, publish
from stages.config.orchestration import OrchestrationParams, Params
from stages.errors import TryAgainError, UserError
from stages.params import load_params
from stages.tracking.environment import without_password
from stages.tracking.registry import read_marker

POLL_SECONDS = 1
RETRY_SECONDS: list[float] = [5, 20, 60]  # of what goes over the network


class StageRunError(Exception):
    """A stage's run on a worker did not end well; another attempt may."""


class StageCancelledError(Exception):
    """Somebody cancelled a stage's run on a worker."""


@flow(name=STAGE_FLOW, flow_run_name="{stage}", validate_parameters=False)
def run_stage_on_worker(stage: str, repository: str, commit: str, settings: list[str]) -> State[Any]:
    """Run one stage here: what comes before it is restored from the DVC remote, what it makes is pushed there.

    The message of the completed state is how the outputs came to be.
    """
    pinned = Pinned(repository, commit, settings)
    try:
        with workspace(pinned, stage) as folder, contextlib.chdir(folder):
            return _run_stage(stage, pinned)
    except UserError as error:
        return _failed(error)


@flow(name=RUN_FLOW, flow_run_name="run", validate_parameters=False)
def run_on_workers(repository: str, revision: str, settings: list[str]) -> State[Any]:
    """Run what is stale at a branch, tag or commit, each stage on a worker of its pool; a failed one ends the run."""
    try:
        commit = _commit_of(repository, revision)
        get_run_logger().info("%s of %s is commit %s", revision, without_password(repository), commit[:12])
        pinned = Pinned(repository, commit, settings)
        with workspace(pinned, "run") as folder, contextlib.chdir(folder):
            return _run_pipeline(pinned)
    except UserError as error:
        return _failed(error)


def _run_stage(stage: str, pinned: Pinned) -> State[Any]:
    orchestration = load_params(PARAMS, Params).orchestration
    limit = orchestration.of(stage).timeout_seconds
    artifact_transfer.check_environment()
    _fetch.with_options(timeout_seconds=limit)()
    for earlier in STAGES[: STAGES.index(stage)]:
        if artifact_transfer.restored(earlier) is None:
            raise TryAgainError(
                f"{stage} needs what {earlier} makes, and the DVC remote did not give it. Start the whole run: it "
                "makes what is missing."
            )
    how = _made(stage)  # by another run, perhaps, for whose end this one has waited
    if how is None:
        state = run_stage.with_options(timeout_seconds=limit)(stage, return_state=True)
        if not state.is_completed():
            return Failed(name=state.name, message=state.message)
        how = how_of(state)
        _push.with_options(timeout_seconds=limit)(stage)
    _remove_unused(pinned, orchestration)
    return Completed(message=how)


def _run_pipeline(pinned: Pinned) -> State[Any]:
    orchestration = load_params(PARAMS, Params).orchestration
    _fetch()
    outcomes: dict[str, How] = {}
    for stage in STAGES:
        how = _made(stage)
        if how is None:
            state = _on_worker(stage, pinned, orchestration)
            if not state.is_completed():
                return state
            how = state.result()
            _fetch()
            if _made(stage) is None:
                return Failed(message=f"{stage} ended well, but what it made is not to be found from here")
        outcomes[stage] = how
    _remove_unused(pinned, orchestration)
    model = read_marker()
    assert model is not None  # the registry was asked by _made
    notes = [f"commit `{pinned.commit}` of {without_password(pinned.repository)}", *links(model)]
    notes += promotion_notes(model.name)
    if pinned.settings:
        notes.append(f"with `{' '.join(pinned.settings)}`")
    return Completed(message=publish(outcomes, model, notes=notes))


def _made(stage: str) -> How | None:
    """How a stage's outputs came here without its being run; None if they must be made, or registered, yet."""
    how = artifact_transfer.restored(stage)
    return None if stage == REGISTER and not is_registered() else how


def _remove_unused(pinned: Pinned, orchestration: OrchestrationParams) -> None:
    checkpoints = Path(value_of(PARAMS, CHECKPOINT_DIR))
    for path in remove_unused(pinned.repository, checkpoints, days=orchestration.retention_days):
        get_run_logger().info("removed %s, which was not used for %d days", path, orchestration.retention_days)


def _failed(error: Exception) -> State[Any]:
    """The state of a run that this error ended."""
    if isinstance(error, StageCancelledError):
        return Cancelled(message=str(error))
    if isinstance(error, TryAgainError):
        return Failed(name=TRY_AGAIN_STATE, message=str(error))
    return Failed(name=USER_FAULT_STATE if isinstance(error, UserError) else None, message=str(error))


def _may_help(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether to try again: not after a fault of the user's, nor what somebody has cancelled."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TryAgainError) or not isinstance(error, UserError | StageCancelledError)


OVER_NETWORK: dict[str, Any] = {
    "retries": len(RETRY_SECONDS),
    "retry_delay_seconds": RETRY_SECONDS,
    "retry_condition_fn": _may_help,
    "cache_policy": NO_CACHE,
}


@task(name="resolve", **OVER_NETWORK)
def _commit_of(repository: str, revision: str) -> str:
    return commit_of(repository, revision)


@task(name="fetch", **OVER_NETWORK)
def _fetch() -> None:
    artifact_transfer.fetch()


@task(name="push", **OVER_NETWORK)
def _push(stage: str) -> None:
    artifact_transfer.push(stage)


def _on_worker(stage: str, pinned: Pinned, orchestration: OrchestrationParams) -> State[Any]:
    """How a stage ended that a worker of its pool ran; it is tried again as params.yaml says."""
    tried = _ask_worker.with_options(
        task_run_name=stage,
        retries=orchestration.of(stage).retries,
        retry_delay_seconds=exponential_backoff(orchestration.retry_delay),
        retry_condition_fn=_may_help,
    )
    state = tried(stage, pinned, return_state=True)
    error = state.result(raise_on_failure=False)
    return _failed(error) if isinstance(error, Exception) else state


@task(cache_policy=NO_CACHE)
def _ask_worker(stage: str, pinned: Pinned) -> How:
    """Have a worker of the stage's pool run it; the error says why, and by its kind whether to ask again, if not."""
    run = cast(
        FlowRun,
        run_deployment(
            f"{STAGE_FLOW}/{stage_deployment(deployment.name, stage)}",
            parameters={
                "stage": stage,
                "repository": pinned.repository,
                "commit": pinned.commit,
                "settings": pinned.settings,
            },
            timeout=0,  # only asks; the waiting is ours
        ),
    )
    with _cancelled_with_us(run.id):
        state = _ended(run.id)
    if state.is_completed():
        return how_of(state)
    if state.is_cancelled():
        raise StageCancelledError(f"{stage} was cancelled")
    if state.name == USER_FAULT_STATE:
        raise UserError(state.message or f"{stage} stopped on a fault in its input")
    raise StageRunError(f"{stage} ended as {state.name}: {state.message}")


def _ended(run_id: UUID) -> State[Any]:
    """The final state of a flow run, once it has one; a server that is away meanwhile is waited for."""
    with get_client(sync_client=True) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                state = client.read_flow_run(run_id).state
                if state and state.is_final():
                    return state
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _cancelled_with_us(run_id: UUID) -> Iterator[None]:
    """Cancel a flow run if we are stopped while we wait for it: nobody would want what it computes."""
    try:
        yield
    except BaseException:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Cancelling(message="the run that waited for it was stopped"))
        raise
