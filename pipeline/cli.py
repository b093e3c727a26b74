"""The command line. Each command decides here and acts elsewhere; slow libraries are imported where they are used."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline import (
    compare_commands,
    corpus_commands,
    housekeeping_commands,
    model_commands,
    registry_commands,
    workspace,
)
from pipeline.overrides import with_values
from pipeline.run_report import report_deployment, report_run
from pipeline.running import prepare_prefect, run_stale, states_with, up_to, write_params
from pipeline.seeds import score_other_seeds, seed_scores
from pipeline.terminal import Json, err, out, print_json
from stages.errors import UserError

app = typer.Typer(
    help="Fine-tune encoders as a reproducible pipeline: tokenize, train, evaluate, register.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(corpus_commands.commands)
app.add_typer(model_commands.commands)
app.add_typer(registry_commands.commands)
app.add_typer(compare_commands.commands)
app.add_typer(housekeeping_commands.commands)


def main() -> None:
    """The console script: a fault of the user's is one message and exit code 2."""
    # Nothing of ours is sent anywhere but to the servers that the user names.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        app()
    except (UserError, OSError, UnicodeError) as error:
        err.print(f"error: {error}", style="red")
        sys.exit(UserError.exit_code)


@app.command()
def run(
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Edit params.yaml first, for example train.epochs=3. Repeatable."
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="Run only as far as this stage.")] = None,
    seeds: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Train and score N seeds, from train.seed on; tell mean and deviation."),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run every stage that is stale, as a Prefect flow.

    What is up to date is not run again; what another run made already comes from DVC's cache. With nothing to do it
    says so and starts no server.

    Examples:

        tuneline run

        tuneline run --set train.learning_rate=5e-5 --set train.epochs=4

        tuneline run --set data.dir=data/corpora/mine --set register.name=mine-ner

        tuneline run --stage evaluate

        tuneline run --seeds 3
    """
    workspace.enter_root()
    with workspace.alone(on_wait=err.print):
        _run(settings or [], stage, seeds, as_json=as_json)


def _run(settings: list[str], stage: str | None, seeds: int, *, as_json: bool) -> None:
    states = up_to(states_with(settings), stage)
    last = states[-1].name
    if seeds == 1:
        report_run(run_stale(states), up_to=last, as_json=as_json)
        return
    if last not in (workspace.EVALUATE, workspace.REGISTER):
        raise UserError(
            f"--seeds {seeds} compares scores, so it goes as far as {workspace.EVALUATE}; drop --stage {last}"
        )
    scored = score_other_seeds(seeds)
    by_how = run_stale(up_to(workspace.stage_states(), last))
    scored.insert(0, seed_scores(by_how))
    report_run(by_how, up_to=last, as_json=as_json, seeds=scored)


@app.command()
def status(as_json: Json = False) -> None:
    """Say of each stage whether it is fresh or stale, and which file or parameter made it so."""
    workspace.enter_root()
    states = workspace.stage_states()
    if as_json:
        print_json({"stages": {state.name: {"fresh": state.fresh, "because": state.because} for state in states}})
        return
    table = Table("stage", "state", "because", box=None, pad_edge=False)
    for state in states:
        shown = Text("fresh", "green") if state.fresh else Text("stale", "yellow")
        table.add_row(state.name, shown, "\n".join(state.because))
    out.print(table)


@app.command()
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
    workspace.enter_root()
    prepare_prefect()
    from pipeline import deployments

    values = [] if cron is None else [f'orchestration.cron="{cron}"' if cron else "orchestration.cron=null"]
    text = with_values(workspace.PARAMS, values)
    workspace.check_params(text)
    deployments.check_data_remote()
    source = deployments.source_of(Path.cwd(), repository=repository, revision=revision)
    wanted = deployments.wanted_deployments(source, cron=cron)
    said = deployments.bring_about(wanted, deployments.wanted_automations(), change=not show)
    if not show:
        write_params(text)
    report_deployment(wanted, said, missing=deployments.unpushed(Path.cwd(), source), as_json=as_json)
