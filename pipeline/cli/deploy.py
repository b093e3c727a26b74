"""The command deploy."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from pipeline.checkout.layout import PARAMS, enter_root, locate
from pipeline.terminal import Json, err, out, print_json, program

if TYPE_CHECKING:
    from pipeline.runs.deployments import DeploymentSpec

commands = typer.Typer()


@commands.command()
def deploy(
    cron: Annotated[
        str | None,
        typer.Option(metavar='"M H D M W"', help='The schedule of runs; "" for none. It is written to params.yaml.'),
    ] = None,
    repository: Annotated[
        str | None, typer.Option(metavar="URL", help="What workers clone; by default the git remote origin.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="The branch or tag of a run; by default the current branch.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only show what would change.")] = False,
    as_json: Json = False,
) -> None:
    """Set a Prefect server up for this project: work pools, deployments and the schedule that params.yaml describes.

    The server is the one that PREFECT_API_URL names. Only differences are applied, and each is printed.

    Examples:

        tuneline deploy --show

        tuneline deploy --cron "0 2 * * *"
    """
    from pipeline.runs.launch import prepare_prefect, write_params

    enter_root()
    prepare_prefect()
    from pipeline.checkout.params_file import apply_settings, check_params
    from pipeline.runs import deployments
    from pipeline.runs.automations import plan_automations

    settings = [] if cron is None else [f'orchestration.cron="{cron}"' if cron else "orchestration.cron=null"]
    text = apply_settings(locate(PARAMS), settings)
    check_params(text)
    deployments.check_data_remote()
    source = deployments.find_source(Path.cwd(), repository=repository, revision=revision)
    specs = deployments.plan_deployments(source, cron=cron)
    report = deployments.apply_deployments(specs, plan_automations(), dry_run=show)
    if not show:
        write_params(text)
    missing = deployments.describe_unpushed(Path.cwd(), source)
    report_deployment(specs, report, missing=missing, as_json=as_json)


def report_deployment(specs: list["DeploymentSpec"], report: list[str], *, missing: str | None, as_json: bool) -> None:
    """Print what changed on the Prefect server, and the commands that start workers and a run."""
    from stages.runtime.proxies import THIS_MACHINE
    from stages.tracking.client import SQLITE

    run = specs[0]
    pools = list(dict.fromkeys(spec.pool for spec in specs))
    server = os.environ["PREFECT_API_URL"]
    prefect = program("prefect")
    # A pool that trains takes one run at a time; the pool of the run itself must not: the run waits there for stages.
    limits = {pool: " --limit 1" if pool != run.pool else "" for pool in pools}
    commands = {
        **{
            f"worker of {p}": f"{prefect} worker start --pool {shlex.quote(p)} --type process{limits[p]}" for p in pools
        },
        "start a run": f"{prefect} deployment run {shlex.quote(f'{run.flow}/{run.name}')}",
    }
    if as_json:
        print_json({"said": report, "commands": commands, "missing": missing})
        return
    for line in report:
        out.print(line)
    if missing:
        err.print(f"warning: {missing}; workers see only what is pushed", style="yellow")
    if "MLFLOW_TRACKING_URI" not in run.variables:
        err.print(
            "warning: MLFLOW_TRACKING_URI contains a password, so it is not sent; set it on each worker", style="yellow"
        )
    elif run.variables["MLFLOW_TRACKING_URI"].startswith(SQLITE):
        err.print(
            "note: models go to a file on this machine; for several, set MLFLOW_TRACKING_URI to a server's address"
        )
    out.print(
        f"\nOn each worker's machine, in a clone of its own after `make install`:\n  export PREFECT_API_URL={server}"
    )
    if "no_proxy" in os.environ and urlsplit(server).hostname in THIS_MACHINE:
        out.print(f"  export no_proxy={shlex.quote(os.environ['no_proxy'])}")
    for what, command in commands.items():
        out.print(f"  {what:<18} {command}")
