"""What a project needs on a Prefect server: work pools, deployments, a schedule, and automations for dead workers.

First the target state is planned; then it is compared with the server's state, and only differences are applied.
Import this module inside functions: it imports Prefect.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from pipeline.checkout.dvc_errors import explain_dvc_errors
from pipeline.checkout.layout import PARAMS, STAGES, locate, pipeline_folder
from pipeline.runs import worker_flows
from pipeline.runs.automations import TAG, project_name, project_tag
from pipeline.runs.clones import has_password
from pipeline.runs.flows import RUN_FLOW, STAGE_FLOW, stage_deployment
from pipeline.runs.prefect_server import ask_server, translate_errors
from stages.config.orchestration import Params
from stages.errors import UserError, first_line, without_password
from stages.params import load_params
from stages.tracking.client import SQLITE, tracking_uri
from stages.tracking.git import git, git_text, origin

SCHEDULE = "schedule"
VARIABLES = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # seconds; the minimum that Prefect accepts
    "PREFECT_CLIENT_MAX_RETRIES": "7",  # after 2, 4 ... 128 s: a server may be down for four minutes
    "DO_NOT_TRACK": "true",
}


@dataclass(frozen=True)
class Source:
    """The repository that workers clone, and the branch or tag that a run uses by default."""

    repository: str
    revision: str


@dataclass(frozen=True)
class DeploymentSpec:
    """The target state of a deployment on the server."""

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
        """The fields that are compared with the server's, by the labels that reports of changes use."""
        return {
            "pool": self.pool,
            "queue": self.queue,
            "concurrency limit": self.concurrency_limit,
            "tags": self.tags,
            "schedule": f"{self.cron} ({self.timezone})" if self.cron else None,
            "entrypoint": self.entrypoint,
            "parameters": self.parameters,
            "variables": self.variables,
        }


def find_source(root: Path, *, repository: str | None, revision: str | None) -> Source:
    """The source of runs: by default the remote `origin` and the branch of this checkout.

    UserError if workers could not clone it.
    """
    remote = repository or origin(root) or str(root)
    if has_password(remote):
        raise UserError(
            f"{without_password(remote)} contains a password, which would be visible in Prefect. Give workers a git "
            "credential helper or a deploy key instead, and pass the address without the password as --repository"
        )
    branch = revision or git_text("symbolic-ref", "--quiet", "--short", "HEAD", folder=root, empty_on=(1,))
    if not branch:
        raise UserError("this checkout is on no branch; name the branch or tag of runs with --revision NAME")
    if revision is None and not git("ls-remote", "--heads", "--tags", remote, branch, folder=root):
        raise UserError(
            f"{without_password(remote)} has no branch {branch!r}, so workers cannot clone it: `git push` it, or name "
            "another one with --revision"
        )
    return Source(remote, branch)


def describe_unpushed(root: Path, source: Source) -> str | None:
    """Say how this checkout differs from what workers clone, or that it cannot be told; None if it does not."""
    try:
        listed = git_text("ls-remote", source.repository, f"refs/heads/{source.revision}", folder=root)
    except UserError as error:
        return f"whether workers clone the same as this checkout is not known: {first_line(error)}"
    theirs = listed.partition("\t")[0]
    if theirs and theirs != git_text("rev-parse", "HEAD", folder=root):
        return f"{source.revision} of {without_password(source.repository)} is at another commit than this checkout"
    if git("status", "--porcelain", "--untracked-files=no", folder=root):
        return "this checkout has uncommitted changes"
    return None


def check_data_remote() -> None:
    """UserError unless DVC has a default remote that other checkouts can reach."""
    from dvc.repo import Repo

    with explain_dvc_errors(), Repo() as repo:
        name = repo.config["core"].get("remote")
        url = str(repo.config["remote"][name]["url"]) if name else ""
        outside = Path(repo.root_dir).resolve() not in Path(url).resolve().parents
    if not name:
        raise UserError(
            "workers exchange data through a DVC remote, and this project has none. For one machine, or a shared disk: "
            "`dvc remote add --default team /srv/tuneline`; then commit .dvc/config and push it."
        )
    if "://" not in url and not outside:
        raise UserError(f"the DVC remote {name} lies inside this checkout ({url}); workers need one outside of it")


def plan_deployments(source: Source, *, cron: str | None = None) -> list[DeploymentSpec]:
    """The deployments of the run and then of its stages, from params.yaml and the environment.

    `cron` replaces the schedule of params.yaml; empty, it removes it. UserError if Prefect cannot parse it.
    """
    orchestration = load_params(locate(PARAMS), Params).orchestration
    cron = orchestration.cron if cron is None else cron or None
    try:
        CronSchedule(cron=cron or "0 0 * * *", timezone=orchestration.timezone)
    except ValueError as error:
        raise UserError(f'the schedule {cron!r} is not a cron expression; an example of one is "0 2 * * *"') from error
    name, pipeline = project_name(), pipeline_folder()
    variables = dict(VARIABLES)
    if not has_password(tracking_uri()):
        variables["MLFLOW_TRACKING_URI"] = _absolute_tracking_uri()
    run = DeploymentSpec(
        flow=RUN_FLOW,
        name=name,
        entrypoint="pipeline.runs.worker_flows.run_on_workers",
        pool=orchestration.pool,
        queue=name,
        concurrency_limit=orchestration.concurrency_limit,
        tags=[TAG, project_tag(name)],
        cron=cron,
        timezone=orchestration.timezone,
        parameters={
            "repository": source.repository,
            "revision": source.revision,
            "settings": [],
            **({} if pipeline == Path() else {"pipeline": pipeline.as_posix()}),
        },
        variables=variables,
    )
    stages = [
        DeploymentSpec(
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


def apply_deployments(
    deployments: list[DeploymentSpec], automations: list[AutomationCore], *, dry_run: bool
) -> list[str]:
    """Apply the differences to the server; return a line for each pool, deployment and automation.

    A `dry_run` changes nothing. UserError if the server does not answer.
    """
    _check_address()
    with translate_errors(), get_client(sync_client=True) as client:
        client.hello().raise_for_status()
        report = [_apply_pool(client, pool, dry_run=dry_run) for pool in dict.fromkeys(s.pool for s in deployments)]
        report += [_apply_deployment(client, spec, dry_run=dry_run) for spec in deployments]
        report += [_apply_automation(client, automation, dry_run=dry_run) for automation in automations]
    return report


def _apply_pool(client: SyncPrefectClient, name: str, *, dry_run: bool) -> str:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        if not dry_run:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        return f"work pool {name}: new"
    return f"work pool {name}: unchanged"


def _apply_deployment(client: SyncPrefectClient, spec: DeploymentSpec, *, dry_run: bool) -> str:
    label = f"deployment {spec.flow}/{spec.name}"
    try:
        deployment = client.read_deployment_by_name(f"{spec.flow}/{spec.name}")
    except ObjectNotFound:
        differences = ["new"]
    else:
        differences = _compare_fields(_read_fields(client, deployment), spec.fields())
    if differences and not dry_run:
        _write_deployment(client, spec)
    return f"{label}: {'; '.join(differences) or 'unchanged'}"


def _read_fields(client: SyncPrefectClient, deployment: Any) -> dict[str, Any]:
    """The fields of a deployment on the server, as in `DeploymentSpec.fields`."""
    schedules = [
        f"{getattr(entry.schedule, 'cron', entry.schedule)} ({getattr(entry.schedule, 'timezone', None)})"
        for entry in deployment.schedules
    ]
    name = deployment.work_queue_name
    queue = client.read_work_queue_by_name(name, deployment.work_pool_name) if name else None
    return {
        "pool": deployment.work_pool_name,
        "queue": name,
        "concurrency limit": queue.concurrency_limit if queue else None,
        "tags": deployment.tags,
        "schedule": ", ".join(schedules) or None,
        "entrypoint": deployment.entrypoint,
        "parameters": deployment.parameters,
        "variables": deployment.job_variables.get("env", {}),
    }


def _compare_fields(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [
        f"{label} {_format_field(before[label])} -> {_format_field(after[label])}"
        for label in after
        if before[label] != after[label]
    ]


def _format_field(value: Any) -> str:
    return without_password(json.dumps(value)) if isinstance(value, dict) else str(value or "none")


def _write_deployment(client: SyncPrefectClient, spec: DeploymentSpec) -> None:
    """Create the deployment or replace it, with its schedule and the concurrency limit of its work queue."""
    schedules = []
    if spec.cron:
        schedule = CronSchedule(cron=spec.cron, timezone=spec.timezone)
        schedules = [DeploymentScheduleCreate(schedule=schedule, slug=SCHEDULE, active=True)]
    deployment = RunnerDeployment.from_flow(
        getattr(worker_flows, spec.entrypoint.rpartition(".")[2]),
        name=spec.name,
        schedules=schedules,
        parameters=spec.parameters,
        tags=spec.tags,
        work_pool_name=spec.pool,
        work_queue_name=spec.queue,
        job_variables={"env": spec.variables},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment_id = cast(UUID, deployment.apply())
    if not schedules:
        # Prefect ignores an empty list: schedules must be deleted one by one.
        for old in client.read_deployment_schedules(deployment_id):
            client.delete_deployment_schedule(deployment_id, old.id)
    # The limit is the queue's, not the deployment's: that one is a lease, which a running flow loses if the server
    # restarts.
    queue = client.read_work_queue_by_name(spec.queue, spec.pool)
    client.update_work_queue(queue.id, concurrency_limit=spec.concurrency_limit)


def _apply_automation(client: SyncPrefectClient, automation: AutomationCore, *, dry_run: bool) -> str:
    label = f"automation {automation.name!r}"
    existing = client.read_automations_by_name(automation.name)
    if not existing:
        if not dry_run:
            client.create_automation(automation)
        return f"{label}: new"
    fields = {"trigger", "actions", "enabled"}
    if existing[0].model_dump(include=fields) == automation.model_dump(include=fields):
        return f"{label}: unchanged"
    if not dry_run:
        client.update_automation(existing[0].id, automation)
    return f"{label}: changed"


def _absolute_tracking_uri() -> str:
    """The tracking URI with the path of a SQLite file made absolute, valid from every folder of this machine."""
    uri = tracking_uri()
    return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}" if uri.startswith(SQLITE) else uri


def _check_address() -> None:
    """UserError unless the user has named a Prefect server, and it answers."""
    if not os.environ.get("PREFECT_API_URL"):
        raise UserError(
            "PREFECT_API_URL names no Prefect server. Start one with `prefect server start`, then "
            "`export PREFECT_API_URL=http://127.0.0.1:4200/api`; or use the URL of your team's server."
        )
    ask_server()
