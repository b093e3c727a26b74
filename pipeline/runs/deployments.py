"""What a project needs on a Prefect server: work pools, deployments, the schedule, and an eye on workers that die.

Each thing is described first, then compared with what the server has, and made or changed only where they differ.
Import it late: it imports Prefect.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import AutomationCore, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.types.entrypoint import EntrypointType

from pipeline.checkout.layout import PARAMS, STAGES
from pipeline.checkout.params_file import value_of
from pipeline.runs import worker_flows
from pipeline.runs.clones import has_password
from pipeline.runs.flows import RUN_FLOW, STAGE_FLOW, TRY_AGAIN_STATE, USER_FAULT_STATE, stage_deployment
from stages.config.orchestration import Params
from stages.errors import UserError, first_line
from stages.params import load_params
from stages.tracking.client import SQLITE, tracking_uri
from stages.tracking.environment import without_password

TAG = "tuneline"
SCHEDULE = "schedule"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "TimedOut", USER_FAULT_STATE, TRY_AGAIN_STATE)
START_SECONDS = 900  # from a worker's taking a run to its first line; then the worker must be dead
VARIABLES = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # seconds; the least that Prefect takes
    "PREFECT_CLIENT_MAX_RETRIES": "7",  # after 2, 4 ... 128 s: a server may be away for four minutes
    "DO_NOT_TRACK": "true",
}


@dataclass(frozen=True)
class Source:
    """From where workers clone the project, and which branch or tag a run is about if nobody says otherwise."""

    repository: str
    revision: str


@dataclass(frozen=True)
class Wanted:
    """A deployment as it should be on the server."""

    flow: str
    name: str
    entrypoint: str
    pool: str
    queue: str
    concurrency_limit: int
    tags: list[str]
    cron: str | None
    timezone: str
    parameters: dict[str, Any]
    variables: dict[str, str]

    def fields(self) -> dict[str, Any]:
        """What is compared with the server's, by the words in which a change is told."""
        return {
            "pool": self.pool,
            "queue": self.queue,
            "at once": self.concurrency_limit,
            "tags": self.tags,
            "schedule": f"{self.cron} ({self.timezone})" if self.cron else None,
            "entrypoint": self.entrypoint,
            "parameters": self.parameters,
            "variables": self.variables,
        }


def source_of(root: Path, *, repository: str | None, revision: str | None) -> Source:
    """The remote `origin` and the branch of a checkout, unless said otherwise; UserError if workers cannot have it."""
    remote = repository or _git(root, "remote", "get-url", "origin") or str(root)
    if has_password(remote):
        raise UserError(
            f"{without_password(remote)} holds a password, which everybody would see in Prefect. Give workers a "
            "credential helper or a deploy key of git's instead, and name the address without it with --repository"
        )
    branch = revision or _git(root, "symbolic-ref", "--short", "HEAD")
    if not branch:
        raise UserError("this checkout is on no branch; say which one runs are about with --revision NAME")
    if not _git(root, "ls-remote", "--heads", "--tags", remote, branch) and revision is None:
        raise UserError(
            f"{without_password(remote)} has no branch {branch!r}, so no worker could clone it: `git push` it, or name "
            "another with --revision"
        )
    return Source(remote, branch)


def unpushed(root: Path, source: Source) -> str | None:
    """What this checkout has that workers do not get, in words."""
    theirs = _git(root, "ls-remote", source.repository, f"refs/heads/{source.revision}").partition("\t")[0]
    if theirs and theirs != _git(root, "rev-parse", "HEAD"):
        return f"{source.revision} of {without_password(source.repository)} is another commit than this checkout's"
    if _git(root, "status", "--porcelain", "--untracked-files=no"):
        return "this checkout has changes that are not committed"
    return None


def check_data_remote() -> None:
    """UserError unless DVC has a default remote that other checkouts can reach."""
    from dvc.repo import Repo

    with Repo() as repo:
        name = repo.config["core"].get("remote")
        url = str(repo.config["remote"][name]["url"]) if name else ""
        outside = Path(repo.root_dir).resolve() not in Path(url).resolve().parents
    if not name:
        raise UserError(
            "workers hand data over by a DVC remote, and this project has none. For one machine, or a shared disk: "
            "`dvc remote add --default team /srv/tuneline`; then commit .dvc/config and push it."
        )
    if "://" not in url and not outside:
        raise UserError(f"the DVC remote {name} lies inside this checkout ({url}); workers need a place outside of it")


def wanted_deployments(source: Source, *, cron: str | None = None) -> list[Wanted]:
    """The run's deployment and those of its stages, as params.yaml and the environment have them.

    `cron` stands in place of that of params.yaml. UserError if it is none that Prefect can read.
    """
    orchestration = load_params(PARAMS, Params).orchestration
    cron = orchestration.cron if cron is None else cron or None
    try:
        CronSchedule(cron=cron or "0 0 * * *", timezone=orchestration.timezone)
    except ValueError as error:
        raise UserError(f'the schedule {cron!r} is no cron expression; write it as in "0 2 * * *"') from error
    name = value_of(PARAMS, "register.name")
    variables = dict(VARIABLES)
    if not has_password(tracking_uri()):
        variables["MLFLOW_TRACKING_URI"] = _reachable_store()
    run = Wanted(
        flow=RUN_FLOW,
        name=name,
        entrypoint="pipeline.runs.worker_flows.run_on_workers",
        pool=orchestration.pool,
        queue=name,
        concurrency_limit=orchestration.concurrency_limit,
        tags=[TAG, project_tag(name)],
        cron=cron,
        timezone=orchestration.timezone,
        parameters={"repository": source.repository, "revision": source.revision, "settings": []},
        variables=variables,
    )
    stages = [
        Wanted(
            flow=STAGE_FLOW,
            name=stage_deployment(name, stage),
            entrypoint="pipeline.runs.worker_flows.run_stage_on_worker",
            pool=orchestration.of(stage).pool,
            queue=stage_deployment(name, stage),
            tags=[TAG, project_tag(name)],
            concurrency_limit=orchestration.of(stage).concurrency_limit,
            cron=None,
            timezone=orchestration.timezone,
            parameters={},
            variables=variables,
        )
        for stage in STAGES
    ]
    return [run, *stages]


def bring_about(deployments: list[Wanted], automations: list[AutomationCore], *, change: bool) -> list[str]:
    """Make the server what it should be, or, without `change`, find out what would be done; a line for each thing.

    UserError if the server does not answer.
    """
    with _server(), get_client(sync_client=True) as client:
        client.hello().raise_for_status()
        said = [_pool(client, pool, change=change) for pool in dict.fromkeys(each.pool for each in deployments)]
        said += [_deployment(client, each, change=change) for each in deployments]
        said += [_automation(client, each, change=change) for each in automations]
    return said


def _pool(client: "SyncPrefectClient", name: str, *, change: bool) -> str:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        if change:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        return f"work pool {name}: new"
    return f"work pool {name}: as it was"


def _deployment(client: "SyncPrefectClient", wanted: Wanted, *, change: bool) -> str:
    label = f"deployment {wanted.flow}/{wanted.name}"
    try:
        found = client.read_deployment_by_name(f"{wanted.flow}/{wanted.name}")
    except ObjectNotFound:
        differences = ["new"]
    else:
        differences = _differences(_fields_of(client, found), wanted.fields())
    if differences and change:
        _apply(client, wanted)
    return f"{label}: {'; '.join(differences) or 'as it was'}"


def _fields_of(client: SyncPrefectClient, found: Any) -> dict[str, Any]:
    """The fields of a deployment on the server, as `Wanted.fields` has them."""
    schedules = [
        f"{getattr(entry.schedule, 'cron', entry.schedule)} ({getattr(entry.schedule, 'timezone', None)})"
        for entry in found.schedules
    ]
    queue = found.work_queue_name
    own = client.read_work_queue_by_name(queue, found.work_pool_name) if queue else None
    return {
        "pool": found.work_pool_name,
        "queue": queue,
        "at once": own.concurrency_limit if own else None,
        "tags": found.tags,
        "schedule": ", ".join(schedules) or None,
        "entrypoint": found.entrypoint,
        "parameters": found.parameters,
        "variables": found.job_variables.get("env", {}),
    }


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [f"{name} {_shown(before[name])} -> {_shown(after[name])}" for name in after if before[name] != after[name]]


def _shown(value: Any) -> str:
    return without_password(json.dumps(value)) if isinstance(value, dict) else str(value or "none")


def _apply(client: SyncPrefectClient, wanted: Wanted) -> None:
    schedules = []
    if wanted.cron:
        schedule = CronSchedule(cron=wanted.cron, timezone=wanted.timezone)
        schedules = [DeploymentScheduleCreate(schedule=schedule, slug=SCHEDULE, active=True)]
    deployment = RunnerDeployment.from_flow(
        getattr(worker_flows, wanted.entrypoint.rpartition(".")[2]),
        name=wanted.name,
        schedules=schedules,
        parameters=wanted.parameters,
        tags=wanted.tags,
        work_pool_name=wanted.pool,
        work_queue_name=wanted.queue,
        job_variables={"env": wanted.variables},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment_id = cast(UUID, deployment.apply())
    if not schedules:
        # Prefect takes an empty list for no wish.
        for old in client.read_deployment_schedules(deployment_id):
            client.delete_deployment_schedule(deployment_id, old.id)
    # Of the queue, not of the deployment: that one is a lease, and a server that restarts takes it from who has it.
    queue = client.read_work_queue_by_name(wanted.queue, wanted.pool)
    client.update_work_queue(queue.id, concurrency_limit=wanted.concurrency_limit)


def _automation(client: SyncPrefectClient, wanted: AutomationCore, *, change: bool) -> str:
    found = client.read_automations_by_name(wanted.name)
    if not found:
        if change:
            client.create_automation(wanted)
        return f"automation {wanted.name!r}: new"
    fields = {"trigger", "actions", "enabled"}
    if found[0].model_dump(include=fields) == wanted.model_dump(include=fields):
        return f"automation {wanted.name!r}: as it was"
    if change:
        client.update_automation(found[0].id, wanted)
    return f"automation {wanted.name!r}: changed"


def wanted_automations() -> list[AutomationCore]:
    """What ends the runs of workers that died, as Prefect recommends; they are tried again, or others take their place.

    https://docs.prefect.io/v3/advanced/detect-zombie-flows
    """
    heartbeat_timeout_seconds = load_params(PARAMS, Params).orchestration.heartbeat_timeout_seconds
    return [
        _crashing("fell silent", after="heartbeat", expect=["heartbeat"], seconds=heartbeat_timeout_seconds),
        _crashing("never began", after="Pending", expect=["Running", "Scheduled", "Cancelling"], seconds=START_SECONDS),
    ]


def _crashing(what: str, *, after: str, expect: list[str], seconds: int) -> AutomationCore:
    """Has a run of this project crash if after one event, for so long, neither those expected come nor its end."""
    name = value_of(PARAMS, "register.name")
    return AutomationCore(
        name=f"{name}: a run that {what} has crashed",
        description="Made by `tuneline deploy`: the worker must be gone.",
        trigger=EventTrigger(
            after={f"prefect.flow-run.{after}"},
            expect={f"prefect.flow-run.{event}" for event in (*expect, *ENDS)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{project_tag(name)}"}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"it {what} for {seconds} s: worker gone")],
    )


def project_tag(name: str) -> str:
    """The tag of all runs of the project whose registered model has this name."""
    return f"{TAG}:{name}"


def _reachable_store() -> str:
    """The tracking URI as it means the same from every folder of this machine."""
    uri = tracking_uri()
    return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}" if uri.startswith(SQLITE) else uri


@contextmanager
def _server() -> Iterator[None]:
    """Turn whatever a Prefect server fails with into a UserError."""
    if not os.environ.get("PREFECT_API_URL"):
        raise UserError(
            "PREFECT_API_URL names no Prefect server. Start one with `prefect server start`, then "
            "`export PREFECT_API_URL=http://127.0.0.1:4200/api`; or name your team's."
        )
    try:
        yield
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        address = without_password(os.environ["PREFECT_API_URL"])
        raise UserError(f"the Prefect server at {address} failed: {first_line(error)}. Is it up?") from error


def _git(root: Path, *words: str) -> str:
    finished = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return finished.stdout.strip() if finished.returncode == 0 else ""
