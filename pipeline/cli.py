"""The command line. Each command decides here and acts elsewhere; slow libraries are imported where they are used."""

import json
import os
import shlex
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from pipeline import workspace
from pipeline.overrides import with_values
from stages.artifacts import read_json, whole
from stages.errors import UserError
from stages.tracking import read_marker, tracking_uri

USER_FAULT = 2

app = typer.Typer(
    help="Fine-tune encoders as a reproducible pipeline: tokenize, train, evaluate, register.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for programs.")]


def main() -> None:
    """The console script: a fault of the user's is one message and exit code 2."""
    # Nothing of ours is sent anywhere but to the servers that the user names.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        app()
    except UserError as error:
        err.print(f"error: {error}", style="red", markup=False)
        sys.exit(USER_FAULT)
    except KeyboardInterrupt:
        err.print("stopped; finished stages are kept, `tuneline run` goes on from there")
        sys.exit(128 + signal.SIGINT)


@app.command()
def run(
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Edit params.yaml first, for example train.epochs=3. Repeatable."
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="Run only as far as this stage.")] = None,
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
    """
    workspace.enter_root()
    if settings:
        _apply(settings)
    states = _up_to(workspace.stage_states(), stage)
    stale = [state.name for state in states if not state.fresh]
    fresh = [state.name for state in states if state.fresh]
    outcomes: dict[str, workspace.How] = {}
    if stale:
        workspace.check_inputs(states)
        workspace.check_params(workspace.PARAMS.read_text(encoding="utf-8"))
        outcomes = _run_flow(stale)
    by_how = {
        how: [name for name in stale if outcomes[name] == how] + (fresh if how == "fresh" else [])
        for how in ("executed", "restored", "fresh")
    }
    _report_run(by_how, as_json=as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """Say of each stage whether it is fresh or stale, and which file or parameter made it so."""
    workspace.enter_root()
    states = workspace.stage_states()
    if as_json:
        _print_json({"stages": {state.name: {"fresh": state.fresh, "because": state.because} for state in states}})
        return
    table = Table("stage", "state", "because", box=None, pad_edge=False)
    for state in states:
        table.add_row(state.name, "[green]fresh[/]" if state.fresh else "[yellow]stale[/]", "\n".join(state.because))
    out.print(table)


@app.command()
def models(as_json: Json = False) -> None:
    """List the versions of all registered models, with their aliases and entity F1."""
    from pipeline.registry import list_versions

    workspace.enter_root()
    versions = list_versions()
    if as_json:
        _print_json({"models": [asdict(version) for version in versions]})
        return
    if not versions:
        out.print(f"No model in {tracking_uri()} yet. Make one: {_command()} run")
        return
    table = Table("name", "version", "aliases", "dev F1", "test F1", "digest", box=None, pad_edge=False)
    for version in versions:
        scores = [f"{version.scores[split]:.4f}" if split in version.scores else "" for split in ("dev", "test")]
        table.add_row(version.name, str(version.version), ", ".join(version.aliases), *scores, version.digest[:12])
    out.print(table)


@app.command()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="NAME[@ALIAS]", help="A registered model; NAME alone is its challenger.")
    ],
    file: Annotated[
        typer.FileText,
        typer.Argument(metavar="[FILE]", encoding="utf-8", help="A text a line; standard input if absent."),
    ] = "-",  # type: ignore[assignment]  # click's notation for standard input
    as_json: Json = False,
) -> None:
    """Find the entities in lines of text.

    Examples:

        echo "Angela Merkel visited Siemens in Munich." | tuneline predict demo-ner

        tuneline predict demo-ner@champion letters.txt --json
    """
    from pipeline.registry import load_model

    texts = file.read().splitlines()
    workspace.enter_root()
    predictions = load_model(model).predict(texts) if texts else []
    if as_json:
        lines = [{"text": text, "entities": found} for text, found in zip(texts, predictions, strict=True)]
        _print_json({"predictions": lines})
        return
    for text, found in zip(texts, predictions, strict=True):
        out.print(text, markup=False)
        for entity in found:
            place = f"{entity['start']}-{entity['end']}"
            out.print(f"  {entity['type']:<8} {entity['text']}  ({place}, {entity['score']:.2f})", markup=False)


def _apply(settings: list[str]) -> None:
    """Put values into params.yaml; the file stays as it was if any of them is not usable."""
    text = with_values(workspace.PARAMS, settings)
    workspace.check_params(text)
    with whole(workspace.PARAMS) as path:
        path.write_text(text, encoding="utf-8")


def _up_to(states: list[workspace.StageState], stage: str | None) -> list[workspace.StageState]:
    names = [state.name for state in states]
    if stage is None:
        return states
    if stage not in names:
        raise UserError(f"--stage {stage}: no such stage; there are {', '.join(names)}")
    return states[: names.index(stage) + 1]


def _run_flow(stages: list[str]) -> dict[str, workspace.How]:
    _prepare_prefect()
    from pipeline.flows import USER_FAULT_STATE, run_pipeline

    state = run_pipeline(stages, return_state=True)
    if state.is_completed():
        return cast(dict[str, workspace.How], state.result())
    if state.name == USER_FAULT_STATE:
        raise UserError(f"{state.message}. Its lines above say what and where; mend that and run again.")
    err.print(f"{state.message}. This is a fault of the program: its lines above say where.", style="red", markup=False)
    sys.exit(1)


def _prepare_prefect() -> None:
    """Set what Prefect reads when it is imported; whatever the user has set stays."""
    home = Path(".tuneline/prefect").absolute()
    home.mkdir(parents=True, exist_ok=True)
    for name, value in {
        # The project's own, so that a run leaves nothing in a home folder, and other projects' servers share no file.
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The first start makes the database: on two busy cores more than the default of 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%H:%M:%S",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s | %(flow_run_name)-8s | %(message)s",
    }.items():
        os.environ.setdefault(name, value)


def _report_run(by_how: dict[str, list[str]], *, as_json: bool) -> None:
    marker = read_marker() if workspace.is_registered() else None
    if as_json:
        model = marker and {"name": marker.name, "version": marker.version, "digest": marker.model_digest}
        _print_json({**by_how, "model": model, "mlflow_run": marker and marker.mlflow_run})
        return
    if not by_how["executed"] and not by_how["restored"]:
        out.print("Nothing to do: every stage is fresh.")
    for how, names in by_how.items():
        if names:
            out.print(f"{how:<9} {', '.join(names)}")
    if not marker:
        return
    metrics = read_json(workspace.METRICS)
    for split in ("dev", "test"):
        micro = metrics[split]["entity_strict"]["micro"]
        out.print(f"{split:<9} entity F1 {micro['f1']:.4f} (strict, {micro['support']} entities)")
    out.print(f"model     {marker.name} version {marker.version}, digest {marker.model_digest[:12]}")
    _report_next(marker.name)


def _report_next(name: str) -> None:
    """What a person can do now, as commands to copy."""
    beside = shlex.quote(f"{Path(_command()).parent}/mlflow") if "/" in _command() else "mlflow"
    out.print("\nNext:", style="bold")
    for what, command in (
        ("use it", f'echo "Angela Merkel visited Siemens in Munich." | {_command()} predict {name}'),
        ("see runs and models", f"{beside} ui --backend-store-uri {tracking_uri()}"),
        ("try other values", f"{_command()} run --set train.learning_rate=1e-4"),
        ("your own text", f"{_command()} run --set data.dir=FOLDER --set register.name=NAME"),
    ):
        out.print(f"  {what:<20} {command}", markup=False)


def _command() -> str:
    """How this program can be called from here."""
    return "tuneline" if shutil.which("tuneline") else os.path.relpath(sys.argv[0])


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
