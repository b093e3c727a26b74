"""The command deploy."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.checkout.layout import PARAMS, enter_root
from pipeline.checkout.params_file import check_params, with_values
from pipeline.runs.launch import prepare_prefect, write_params
from pipeline.terminal import Json, err, out, print_json, program
from stages.tracking.client import SQLITE

if TYPE_CHECKING:
    from pipeline.runs.deployments import Wanted

commands = typer.Typer()


@commands.command()
def deploy(
    cron: Annotated[
        str | None,
        typer.Option(metavar='"M H D M W"', help='When runs start by themselves; "" for never. Kept in params.yaml.'),
    ] = None,
    repository: Annotated[
        str | None, typer.Option(metavar="URL", help="From where workers clone; the git remote origin if absent.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="The branch or tag of a run; the present branch if absent.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only show what would change.")] = False,
    as_json: Json = False,
) -> None:
    """Have a Prefect server run this project: work pools, deployments and schedule, as params.yaml describes them.

    The server is the one that PREFECT_API_URL names. Doing it again changes nothing; what changes is said.

    Examples:

        tuneline deploy --show

        tuneline deploy --cron "0 2 * * *"
    """
    enter_root()
    prepare_prefect()
    from pipeline.runs import deployments

    values = [] if cron is None else [f'orchestration.cron="{cron}"' if cron else "orchestration.cron=null"]
    text = with_values(PARAMS, values)
    check_params(text)
    deployments.check_data_remote()
    source = deployments.source_of(Path.cwd(), repository=repository, revision=revision)
    wanted = deployments.wanted_deployments(source, cron=cron)
    said = deployments.bring_about(wanted, deployments.wanted_automations(), change=not show)
    if not show:
        write_params(text)
    report_deployment(wanted, said, missing=deployments.unpushed(Path.cwd(), source), as_json=as_json)


def report_deployment(wanted: list["Wanted"], said: list[str], *, missing: str | None, as_json: bool) -> None:
    """Say what was changed on the Prefect server, how workers are started, and how a run is."""
    run = wanted[0]
    pools = list(dict.fromkeys(each.pool for each in wanted))
    server = os.environ["PREFECT_API_URL"]
    prefect = program("prefect")
    # A pool that trains takes one run at a time; the others must not, for the run itself waits in one of them.
    limits = {pool: " --limit 1" if pool != run.pool else "" for pool in pools}
    commands = {
        **{
            f"worker of {p}": f"{prefect} worker start --pool {shlex.quote(p)} --type process{limits[p]}" for p in pools
        },
        "start a run": f"{prefect} deployment run {shlex.quote(f'{run.flow}/{run.name}')}",
    }
    if as_json:
        print_json({"said": said, "commands": commands, "missing": missing})
        return
    for line in said:
        out.print(line)
    if missing:
        err.print(f"warning: {missing}; workers see only what is pushed", style="yellow")
    if "MLFLOW_TRACKING_URI" not in run.variables:
        err.print(
            "warning: MLFLOW_TRACKING_URI holds a password, so it stays here; set it on each worker", style="yellow"
        )
    elif run.variables["MLFLOW_TRACKING_URI"].startswith(SQLITE):
        err.print(
            "note: models go to a file of this machine; for several, set MLFLOW_TRACKING_URI to a server's address"
        )
    out.print(
        f"\nOn each worker's machine, in a clone of its own after `make install`:\n  export PREFECT_API_URL={server}"
    )
    for what, command in commands.items():
        out.print(f"  {what:<18} {command}")
