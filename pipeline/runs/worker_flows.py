"""The flows that deployments run on workers: the run, which starts stages and waits, and the stage, which computes.

Only a commit, settings and names go through Prefect; workers exchange data through the DVC remote.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
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

from pipeline.checkout.layout import CHECKPOINT_DIR, PARAMS, REGISTER, STAGES, locate, pipeline_folder, use_pipeline
from pipeline.checkout.params_file import read_value
from pipeline.checkout.status import Outcome, is_registered
from pipeline.runs import artifact_transfer
from pipeline.runs.clones import RunSpec, remove_unused, resolve_commit, workspace
from pipeline.runs.flows import (
    RUN_FLOW,
    STAGE_FLOW,
    TRY_AGAIN_STATE,
    USER_FAULT_STATE,
    auto_promote,
    parse_outcome,
    run_stage,
    stage_deployment,
)
from pipeline.runs.launch import pin_pretrained
from pipeline.runs.page import create_page, find_links
from stages.config.orchestration import OrchestrationParams, Params
from stages.errors import TryAgainError, UserError, without_password
from stages.params import load_params
from stages.runtime.proxies import bypass_proxy_on_this_machine
from stages.tracking.registry import read_marker

POLL_SECONDS = 1
RETRY_SECONDS: list[float] = [5, 20, 60]  # before each retry of a task that uses the network


class StageRunError(Exception):
    """The run of a stage on a worker failed; a retry may succeed."""


class StageCancelledError(Exception):
    """The run of a stage on a worker was cancelled."""


@flow(name=STAGE_FLOW, flow_run_name="{stage}", validate_parameters=False)
def run_stage_on_worker(
    stage: str, repository: str, commit: str, settings: list[str], pipeline: str = "."
) -> State[Any]:
    """Run one stage here: restore the stages before it from the DVC remote, and push its outputs there.

    `pipeline` is a folder of the repository. The message of the completed state is its `Outcome`.
    """
    bypass_proxy_on_this_machine()
    spec = RunSpec(repository, commit, settings, pipeline)
    try:
        with workspace(spec, stage) as folder, contextlib.chdir(folder), use_pipeline(Path(pipeline)):
            return _run_stage(stage, spec)
    except UserError as error:
        return _failed_state(error)


@flow(name=RUN_FLOW, flow_run_name="run", validate_parameters=False)
def run_on_workers(repository: str, revision: str, settings: list[str], pipeline: str = ".") -> State[Any]:
    """Run the stale stages of a pipeline at a branch, tag or commit, each on a worker of its pool, until one fails."""
    bypass_proxy_on_this_machine()
    try:
        commit = _resolve(repository, revision)
        get_run_logger().info("%s of %s is commit %s", revision, without_password(repository), commit[:12])
        spec = RunSpec(repository, commit, settings, pipeline)
        with workspace(spec, "run") as folder, contextlib.chdir(folder), use_pipeline(Path(pipeline)):
            pins = pin_pretrained(settings)
        spec = replace(spec, settings=[*settings, *pins])  # so that all stages go on from the same version
        with workspace(spec, "run") as folder, contextlib.chdir(folder), use_pipeline(Path(pipeline)):
            return _run_pipeline(spec)
    except UserError as error:
        return _failed_state(error)


def _run_stage(stage: str, spec: RunSpec) -> State[Any]:
    orchestration = load_params(locate(PARAMS), Params).orchestration
    limit = orchestration.of(stage).timeout_seconds
    artifact_transfer.check_environment()
    _fetch.with_options(timeout_seconds=limit)()
    for earlier in STAGES[: STAGES.index(stage)]:
        if artifact_transfer.restore(earlier) is None:
            raise TryAgainError(
                f"{stage} needs the outputs of {earlier}, and the DVC remote does not have them. "
                "Start the whole run: it computes what is missing."
            )
    outcome = _restore(stage)  # another run may have computed it while this one waited in the queue
    if outcome is None:
        state = run_stage.with_options(timeout_seconds=limit)(stage, return_state=True)
        if not state.is_completed():
            return Failed(name=state.name, message=state.message)
        outcome = parse_outcome(state)
        _push.with_options(timeout_seconds=limit)(stage)
    _remove_unused(spec, orchestration)
    return Completed(message=outcome)


def _run_pipeline(spec: RunSpec) -> State[Any]:
    orchestration = load_params(locate(PARAMS), Params).orchestration
    _fetch()
    outcomes: dict[str, Outcome] = {}
    for stage in STAGES:
        outcome = _restore(stage)
        if outcome is None:
            state = _run_on_worker(stage, spec, orchestration)
            if not state.is_completed():
                return state
            outcome = state.result()
            _fetch()
            if _restore(stage) is None:
                return Failed(message=f"{stage} completed, but its outputs cannot be fetched from the DVC remote")
        outcomes[stage] = outcome
    _remove_unused(spec, orchestration)
    model = read_marker(pipeline_folder())
    assert model is not None  # _restore has found the registration
    notes = [f"commit `{spec.commit}` of {without_password(spec.repository)}", *find_links(model)]
    notes += auto_promote(model.name)
    if spec.settings:
        notes.append(f"with `{' '.join(spec.settings)}`")
    return Completed(message=create_page(outcomes, model, notes=notes))


def _restore(stage: str) -> Outcome | None:
    """Restore the outputs of a stage without running it; None if it must run, if only to register the model."""
    outcome = artifact_transfer.restore(stage)
    return None if stage == REGISTER and not is_registered() else outcome


def _remove_unused(spec: RunSpec, orchestration: OrchestrationParams) -> None:
    checkpoints = Path(read_value(locate(PARAMS), CHECKPOINT_DIR))
    for path in remove_unused(spec.repository, checkpoints, days=orchestration.retention_days):
        get_run_logger().info("removed %s, which was not used for %d days", path, orchestration.retention_days)


def _failed_state(error: Exception) -> State[Any]:
    """The final state of a run that this error ended."""
    if isinstance(error, StageCancelledError):
        return Cancelled(message=str(error))
    if isinstance(error, TryAgainError):
        return Failed(name=TRY_AGAIN_STATE, message=str(error))
    return Failed(name=USER_FAULT_STATE if isinstance(error, UserError) else None, message=str(error))


def is_retryable(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether Prefect should retry a failed task: not after a user's error or a cancellation."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TryAgainError) or not isinstance(error, UserError | StageCancelledError)


NETWORK_TASK: dict[str, Any] = {
    "retries": len(RETRY_SECONDS),
    "retry_delay_seconds": RETRY_SECONDS,
    "retry_condition_fn": is_retryable,
    "cache_policy": NO_CACHE,
}


@task(name="resolve", **NETWORK_TASK)
def _resolve(repository: str, revision: str) -> str:
    return resolve_commit(repository, revision)


@task(name="fetch", **NETWORK_TASK)
def _fetch() -> None:
    artifact_transfer.fetch()


@task(name="push", **NETWORK_TASK)
def _push(stage: str) -> None:
    artifact_transfer.push(stage)


def _run_on_worker(stage: str, spec: RunSpec, orchestration: OrchestrationParams) -> State[Any]:
    """Run a stage on a worker of its pool, with the retries of params.yaml, and return its final state."""
    run_with_retries = _start_and_wait.with_options(
        task_run_name=stage,
        retries=orchestration.of(stage).retries,
        retry_delay_seconds=exponential_backoff(orchestration.retry_delay),
        retry_condition_fn=is_retryable,
    )
    state = run_with_retries(stage, spec, return_state=True)
    error = state.result(raise_on_failure=False)
    return _failed_state(error) if isinstance(error, Exception) else state


@task(cache_policy=NO_CACHE)
def _start_and_wait(stage: str, spec: RunSpec) -> Outcome:
    """Start the deployment of a stage and wait until a worker has run it.

    StageRunError if a retry may succeed; UserError or StageCancelledError if not.
    """
    run = cast(
        FlowRun,
        run_deployment(
            f"{STAGE_FLOW}/{stage_deployment(deployment.name, stage)}",
            parameters={
                "stage": stage,
                "repository": spec.repository,
                "commit": spec.commit,
                "settings": spec.settings,
                "pipeline": spec.pipeline,
            },
            timeout=0,  # return at once
        ),
    )
    with _cancel_on_exception(run.id):
        state = _wait_for_end(run.id)
    if state.is_completed():
        return parse_outcome(state)
    if state.is_cancelled():
        raise StageCancelledError(f"{stage} was cancelled")
    if state.name == USER_FAULT_STATE:
        raise UserError(state.message or f"{stage} stopped on an error in its input")
    raise StageRunError(f"{stage} ended as {state.name}: {state.message}")


def _wait_for_end(run_id: UUID) -> State[Any]:
    """Wait until a flow run has a final state, and return it; while the server does not answer, keep waiting."""
    with get_client(sync_client=True) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                state = client.read_flow_run(run_id).state
                if state and state.is_final():
                    return state
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _cancel_on_exception(run_id: UUID) -> Iterator[None]:
    """Cancel a flow run if this process is stopped while it waits for it: no one would use its outputs."""
    try:
        yield
    except BaseException:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Cancelling(message="the run that waited for it was stopped"))
        raise
