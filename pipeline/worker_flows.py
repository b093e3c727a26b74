"""The flows that deployments run on workers: the run, which waits, and the stage, which computes.

Nothing but a commit, settings and names goes through Prefect; data goes from worker to worker through the DVC remote.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.deployments import run_deployment
from prefect.states import Cancelling, Completed, Failed
from prefect.tasks import Task, exponential_backoff

from pipeline import handover
from pipeline.checkouts import Pinned, commit_of, remove_unused, without_password, workspace
from pipeline.flows import RUN_FLOW, STAGE_FLOW, USER_FAULT_STATE, run_stage, stage_deployment
from pipeline.overrides import value_of
from pipeline.run_page import links, publish
from pipeline.workspace import PARAMS, REGISTER, STAGES, How, is_registered
from stages.errors import UserError
from stages.orchestration import OrchestrationParams, Params
from stages.params import load_params
from stages.tracking import read_marker

POLL_SECONDS = 1
FETCH_RETRY_SECONDS: list[float] = [5, 20, 60]


class StageRunError(Exception):
    """A stage's run on a worker did not end well; another attempt may."""


@flow(name=STAGE_FLOW, flow_run_name="{stage}", validate_parameters=False)
def run_stage_on_worker(stage: str, repository: str, commit: str, settings: list[str]) -> State[Any]:
    """Run one stage here: what comes before it is restored from the DVC remote, what it makes is pushed there.

    The message of the completed state is how the outputs came to be.
    """
    try:
        with workspace(Pinned(repository, commit, settings), stage) as folder, contextlib.chdir(folder):
            return _run_stage(stage)
    except UserError as error:
        return Failed(name=USER_FAULT_STATE, message=str(error))


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
        return Failed(name=USER_FAULT_STATE, message=str(error))


def _run_stage(stage: str) -> State[Any]:
    orchestration = load_params(PARAMS, Params).orchestration
    handover.check_environment()
    handover.fetch()
    for earlier in STAGES[: STAGES.index(stage)]:
        if handover.restored(earlier) is None:
            raise UserError(
                f"{stage} needs what {earlier} makes, but the DVC remote does not have it. Start the whole run: "
                "it makes what is missing."
            )
    timed = run_stage.with_options(timeout_seconds=orchestration.of(stage).time_limit)
    state = timed(stage, return_state=True)
    if not state.is_completed():
        return Failed(name=state.name, message=state.message)
    handover.push(stage)
    return Completed(message=state.result())


def _run_pipeline(pinned: Pinned) -> State[Any]:
    orchestration = load_params(PARAMS, Params).orchestration
    _fetch()
    outcomes: dict[str, How] = {}
    for stage in STAGES:
        how = handover.restored(stage)
        if how is None or (stage == REGISTER and not is_registered()):
            state = _on_worker(stage, pinned, orchestration)
            if not state.is_completed():
                return Failed(name=state.name, message=state.message)
            how = state.result()
            _fetch()
            if handover.restored(stage) is None or (stage == REGISTER and not is_registered()):
                return Failed(message=f"{stage} ended well, but what it made is not to be found from here")
        outcomes[stage] = how
    removed = remove_unused(pinned.repository, days=orchestration.keep_days)
    for folder in removed:
        get_run_logger().info("removed %s, which was not used for %d days", folder, orchestration.keep_days)
    model = read_marker()
    assert model is not None  # the registry was asked above
    notes = [f"commit `{pinned.commit}` of {without_password(pinned.repository)}", *links(model)]
    if pinned.settings:
        notes.append(f"with `{' '.join(pinned.settings)}`")
    return Completed(message=publish(outcomes, model, notes=notes))


@task(name="resolve", retries=3, retry_delay_seconds=FETCH_RETRY_SECONDS, cache_policy=NO_CACHE)
def _commit_of(repository: str, revision: str) -> str:
    return commit_of(repository, revision)


@task(name="fetch", retries=3, retry_delay_seconds=FETCH_RETRY_SECONDS, cache_policy=NO_CACHE)
def _fetch() -> None:
    handover.fetch()


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
    if not isinstance(error, Exception):
        return state
    return Failed(name=USER_FAULT_STATE if isinstance(error, UserError) else None, message=str(error))


def _may_help(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether to try again: not after a fault of the user's."""
    return not isinstance(state.result(raise_on_failure=False), UserError)


@task(cache_policy=NO_CACHE)
def _ask_worker(stage: str, pinned: Pinned) -> How:
    """Have a worker of the stage's pool run it; UserError or StageRunError if that does not end well."""
    run = cast(
        FlowRun,
        run_deployment(
            f"{STAGE_FLOW}/{stage_deployment(value_of(PARAMS, 'register.name'), stage)}",
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
        return cast(How, state.message)
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
