"""The commands run and status."""

import json
import shlex
from typing import Annotated, Any

import typer

from pipeline.checkout.layout import CONFIG, EVALUATE, METRICS, PAGE, REGISTER, enter_root, locate, pipeline_folder
from pipeline.signals import Stopped, exit_on_interrupt
from pipeline.terminal import Json, err, make_table, out, print_json, program, show_path, store_option
from stages.errors import UserError

commands = typer.Typer()


@commands.command()
def run(
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Edit params.yaml first, for example train.epochs=3. Repeatable."
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="Run only up to this stage.")] = None,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Train and score N seeds, from train.seed on; report mean and standard deviation."
        ),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run every stage that is stale, as a Prefect flow.

    A fresh stage is not run again; a stage that any earlier run computed with the same inputs is restored from DVC's
    cache. If all stages are fresh, no server is started.

    Examples:

        tuneline run

        tuneline run --set train.learning_rate=5e-5 --set train.epochs=4

        tuneline run --set data.dir=data/corpora/mine --set register.name=mine

        tuneline run --set "data.slices=[source, region]" --set "data.split={dev: 0.1}"

        tuneline run --stage evaluate

        tuneline run --seeds 3
    """
    from pipeline.checkout.locks import checkout_lock
    from pipeline.runs.prefect_server import stop_temporary_server

    enter_root()
    words = [*(["--stage", shlex.quote(stage)] if stage else []), *(["--seeds", str(seeds)] if seeds > 1 else [])]
    command = " ".join([program("tuneline"), "run", *words])
    with (
        checkout_lock(on_wait=err.print),
        exit_on_interrupt(f"stopped; finished stages are kept, and `{command}` resumes from there"),
    ):
        try:
            _run(settings or [], stage, seeds, as_json=as_json)
        except Stopped:
            stop_temporary_server()
            raise


def _run(settings: list[str], stage: str | None, seeds: int, *, as_json: bool) -> None:
    from pipeline.checkout.status import stage_states
    from pipeline.runs.launch import prepare_run, run_stale, select_stages

    states = select_stages(prepare_run(settings), stage)
    last = states[-1].name
    if seeds == 1:
        report_run(run_stale(states), last=last, as_json=as_json)
        return
    if last not in (EVALUATE, REGISTER):
        raise UserError(f"--seeds {seeds} compares scores, so the run must include {EVALUATE}; drop --stage {last}")
    from pipeline.runs.seeds import read_seed_scores, score_other_seeds

    scores = score_other_seeds(seeds)
    by_outcome = run_stale(select_stages(stage_states(), last))
    scores.insert(0, read_seed_scores(by_outcome))
    report_run(by_outcome, last=last, as_json=as_json, seeds=scores)


@commands.command()
def status(as_json: Json = False) -> None:
    """Show for each stage whether it is fresh or stale, and which files or parameters made it stale."""
    from pipeline.checkout.status import stage_states
    from pipeline.runs.launch import renew_dag

    enter_root()
    renew_dag()
    states = stage_states()
    if as_json:
        print_json({"stages": {state.name: {"fresh": state.fresh, "because": state.because} for state in states}})
        return
    from rich.text import Text

    table = make_table("stage", "state", "because")
    for state in states:
        label = Text("fresh", "green") if state.fresh else Text("stale", "yellow")
        table.add_row(state.name, label, "\n".join(state.because))
    out.print(table)


def report_run(
    by_outcome: dict[str, list[str]], *, last: str, as_json: bool, seeds: list[dict[str, Any]] | None = None
) -> None:
    """Print what a run up to the stage `last` did: stages by outcome, scores and model if it included their stages."""
    from pipeline.checkout.params_file import load_own_task
    from stages.artifacts import read_json
    from stages.statistics.older import describe_older
    from stages.tracking.registry import read_marker

    marker = read_marker(pipeline_folder()) if last == REGISTER else None
    if as_json:
        model = marker and {"name": marker.name, "version": marker.version, "digest": marker.model_digest}
        print_json({**by_outcome, "model": model, "mlflow_run": marker and marker.mlflow_run, **_seed_fields(seeds)})
        return
    if not by_outcome["executed"] and not by_outcome["restored"]:
        out.print("Nothing to do: every stage is fresh." if marker else f"Nothing to do up to {last}.")
    for outcome, names in by_outcome.items():
        if names:
            out.print(f"{outcome:<9} {', '.join(names)}")
    if last not in (EVALUATE, REGISTER):
        return
    metrics, task = read_json(locate(METRICS)), load_own_task()
    for split in ("dev", "test"):
        out.print(f"{split:<9} {task.presentation.describe_primary(metrics[split])}")
    for name, words in describe_older(metrics):
        out.print(f"{name:<9} {words}", highlight=False)
    if seeds:
        _report_seeds(seeds)
    if not marker:
        return
    out.print(f"model     {marker.name} version {marker.version}, digest {marker.model_digest[:12]}")
    sample = task.presentation.make_sample(read_json(locate(CONFIG)))
    _report_next(marker.name, marker.version, sample=sample)


def _seed_fields(seeds: list[dict[str, Any]] | None) -> dict[str, Any]:
    if not seeds:
        return {}
    from pipeline.runs.seeds import summarise_seeds

    return {"seeds": seeds, **summarise_seeds(seeds)}


def _report_seeds(seeds: list[dict[str, Any]]) -> None:
    from pipeline.runs.seeds import SPLITS, summarise_seeds

    for entry in seeds:
        out.print(f"seed {entry['seed']:<4} dev {entry['dev']:.4f}  test {entry['test']:.4f}")
    summary = summarise_seeds(seeds)
    figures = "  ".join(f"{split} {summary['mean'][split]:.4f} ± {summary['deviation'][split]:.4f}" for split in SPLITS)
    out.print(f"mean      {figures}  (standard deviation over {len(seeds)} seeds)")


def _report_next(name: str, version: int, *, sample: Any) -> None:
    """Print the next possible steps as commands to copy; `sample` is what the model takes."""
    from stages.tracking.client import shown_uri, tracking_uri

    tuneline, model = program("tuneline"), shlex.quote(name)
    line = sample if isinstance(sample, str) else json.dumps(sample, ensure_ascii=False)
    on_server = tracking_uri().startswith("http")
    out.print("\nNext:", style="bold")
    for what, command in (
        ("use it", f"echo {shlex.quote(line)} | {tuneline} predict {model}/{version}"),
        ("make it champion", f"{tuneline} promote {model} {version}"),
        ("see its lineage", f"{tuneline} lineage {model}/{version}"),
        ("look at its mistakes", f"{tuneline} mistakes, or open {show_path(locate(PAGE))} in a browser"),
        ("see runs and models", shown_uri() if on_server else f"{program('mlflow')} ui{store_option(tracking_uri())}"),
        ("try other values", f"{tuneline} run --set train.learning_rate=2e-4"),
        ("your own text", f"{tuneline} run --set data.dir=FOLDER --set register.name=NAME"),
    ):
        out.print(f"  {what:<20} {command}")
