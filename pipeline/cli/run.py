"""The commands run and status."""

import shlex
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.checkout.layout import EVALUATE, METRICS, PAGE, REGISTER, enter_root
from pipeline.checkout.locks import checkout_lock
from pipeline.checkout.status import stage_states
from pipeline.runs.launch import run_stale, states_with, up_to
from pipeline.runs.seeds import SPLITS, over_seeds, score_other_seeds, seed_scores
from pipeline.terminal import Json, err, out, print_json, program
from stages.artifacts import read_json
from stages.errors import UserError
from stages.tracking.client import shown_uri, tracking_uri
from stages.tracking.registry import read_marker

commands = typer.Typer()


@commands.command()
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
    enter_root()
    with checkout_lock(on_wait=err.print):
        _run(settings or [], stage, seeds, as_json=as_json)


def _run(settings: list[str], stage: str | None, seeds: int, *, as_json: bool) -> None:
    states = up_to(states_with(settings), stage)
    last = states[-1].name
    if seeds == 1:
        report_run(run_stale(states), up_to=last, as_json=as_json)
        return
    if last not in (EVALUATE, REGISTER):
        raise UserError(f"--seeds {seeds} compares scores, so it goes as far as {EVALUATE}; drop --stage {last}")
    scored = score_other_seeds(seeds)
    by_how = run_stale(up_to(stage_states(), last))
    scored.insert(0, seed_scores(by_how))
    report_run(by_how, up_to=last, as_json=as_json, seeds=scored)


@commands.command()
def status(as_json: Json = False) -> None:
    """Say of each stage whether it is fresh or stale, and which file or parameter made it so."""
    enter_root()
    states = stage_states()
    if as_json:
        print_json({"stages": {state.name: {"fresh": state.fresh, "because": state.because} for state in states}})
        return
    table = Table("stage", "state", "because", box=None, pad_edge=False)
    for state in states:
        shown = Text("fresh", "green") if state.fresh else Text("stale", "yellow")
        table.add_row(state.name, shown, "\n".join(state.because))
    out.print(table)


def report_run(
    by_how: dict[str, list[str]], *, up_to: str, as_json: bool, seeds: list[dict[str, Any]] | None = None
) -> None:
    """Say what ran; of scores and the model only if this call went as far as the stage that makes them."""
    marker = read_marker() if up_to == REGISTER else None
    if as_json:
        model = marker and {"name": marker.name, "version": marker.version, "digest": marker.model_digest}
        of_seeds = {"seeds": seeds, **over_seeds(seeds)} if seeds else {}
        print_json({**by_how, "model": model, "mlflow_run": marker and marker.mlflow_run, **of_seeds})
        return
    if not by_how["executed"] and not by_how["restored"]:
        out.print("Nothing to do: every stage is fresh." if marker else f"Nothing to do up to {up_to}.")
    for how, names in by_how.items():
        if names:
            out.print(f"{how:<9} {', '.join(names)}")
    if up_to not in (EVALUATE, REGISTER):
        return
    metrics = read_json(METRICS)
    for split in SPLITS:
        micro = metrics[split]["entity_strict"]["micro"]
        interval = f"95 % interval {micro['f1_low']:.4f} to {micro['f1_high']:.4f}"
        out.print(f"{split:<9} entity F1 {micro['f1']:.4f} (strict, {interval}, {micro['support']} entities)")
    if seeds:
        _report_seeds(seeds)
    if not marker:
        return
    out.print(f"model     {marker.name} version {marker.version}, digest {marker.model_digest[:12]}")
    _report_next(marker.name, marker.version)


def _report_seeds(seeds: list[dict[str, Any]]) -> None:
    for entry in seeds:
        out.print(f"seed {entry['seed']:<4} dev {entry['dev']:.4f}  test {entry['test']:.4f}")
    over = over_seeds(seeds)
    figures = "  ".join(f"{split} {over['mean'][split]:.4f} ± {over['deviation'][split]:.4f}" for split in SPLITS)
    out.print(f"mean      {figures}  (standard deviation over {len(seeds)} seeds)")


def _report_next(name: str, version: int) -> None:
    """What a person can do now, as commands to copy."""
    tuneline, model = program("tuneline"), shlex.quote(name)
    on_server = tracking_uri().startswith("http")
    out.print("\nNext:", style="bold")
    for what, command in (
        ("use it", f'echo "Angela Merkel visited Siemens in Munich." | {tuneline} predict {model}/{version}'),
        ("make it champion", f"{tuneline} promote {model} {version}"),
        ("see what made it", f"{tuneline} lineage {model}/{version}"),
        ("look at its mistakes", f"{tuneline} mistakes, or open {PAGE} in a browser"),
        (
            "see runs and models",
            shown_uri() if on_server else f"{program('mlflow')} ui --backend-store-uri {tracking_uri()}",
        ),
        ("try other values", f"{tuneline} run --set train.learning_rate=2e-4"),
        ("your own text", f"{tuneline} run --set data.dir=FOLDER --set register.name=NAME"),
    ):
        out.print(f"  {what:<20} {command}")
