"""The command line. Each command decides here and acts elsewhere; slow libraries are imported where they are used."""

import os
import shlex
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.table import Table
from rich.text import Text

from pipeline import workspace
from pipeline.children import USER_FAULT
from pipeline.corpus_commands import corpora
from pipeline.overrides import value_of, with_values
from pipeline.terminal import Json, err, interruptible, out, print_json, program
from stages.artifacts import read_json, whole
from stages.errors import UserError
from stages.tracking import read_marker, shown_uri, tracking_uri

SEED = "train.seed"
SPLITS = ("dev", "test")

app = typer.Typer(
    help="Fine-tune encoders as a reproducible pipeline: tokenize, train, evaluate, register.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(corpora)


def main() -> None:
    """The console script: a fault of the user's is one message and exit code 2."""
    # Nothing of ours is sent anywhere but to the servers that the user names.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        app()
    except (UserError, OSError, UnicodeError) as error:
        err.print(f"error: {error}", style="red")
        sys.exit(USER_FAULT)


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
    states = _up_to(_states_with(settings or []), stage)
    up_to = states[-1].name
    if seeds == 1:
        _report_run(_run_stale(states), up_to=up_to, as_json=as_json)
        return
    if up_to not in (workspace.EVALUATE, workspace.REGISTER):
        raise UserError(
            f"--seeds {seeds} compares scores, so it goes as far as {workspace.EVALUATE}; drop --stage {up_to}"
        )
    scored = _score_other_seeds(seeds)
    by_how = _run_stale(_up_to(workspace.stage_states(), up_to))
    scored.insert(0, _seed_scores(by_how))
    _report_run(by_how, up_to=up_to, as_json=as_json, seeds=scored)


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
def models(as_json: Json = False) -> None:
    """List the versions of all registered models, with their aliases and entity F1."""
    from pipeline.registry import list_versions

    workspace.enter_root()
    versions = list_versions()
    if as_json:
        print_json({"models": [asdict(version) for version in versions]})
        return
    if not versions:
        out.print(f"No model in {shown_uri()} yet. Make one: {program('tuneline')} run")
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

    texts = [line.rstrip("\r") for line in file.read().removesuffix("\n").split("\n")]
    workspace.enter_root()
    predictions = load_model(model).predict(texts)
    if as_json:
        lines = [{"text": text, "entities": found} for text, found in zip(texts, predictions, strict=True)]
        print_json({"predictions": lines})
        return
    for text, found in zip(texts, predictions, strict=True):
        out.print(text)
        for entity in found:
            place = f"{entity['start']}-{entity['end']}"
            out.print(f"  {entity['type']:<8} {entity['text']}  ({place}, {entity['score']:.2f})")


@app.command()
def mistakes(
    split: Annotated[str, typer.Option(metavar="NAME", help="dev or test.")] = "test",
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only type, boundary, boundary_and_type, missed or invented.")
    ] = None,
    entity_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only mistakes about this type.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="How many sentences; 0 shows all.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the sentences in which the model was wrong, the surest mistakes first.

    Examples:

        tuneline mistakes

        tuneline mistakes --split dev --kind boundary --type ORG --limit 50
    """
    from pipeline.mistakes import find_mistakes, marked

    workspace.enter_root()
    found = find_mistakes(workspace.PREDICTIONS, split=split, kind=kind, entity_type=entity_type)
    shown = found[:limit] if limit else found
    if as_json:
        print_json({"split": split, "count": len(found), "mistakes": shown})
        return
    for entry in shown:
        out.print(Text(f"{split} {entry['sentence']}: {', '.join(entry['kinds'])}", "bold"))
        out.print(Text(f"  gold       {marked(entry['words'], entry['gold'])}"))
        out.print(Text(f"  predicted  {marked(entry['words'], entry['predicted'])}"))
    out.print(f"{len(shown)} of {len(found)} sentences of {split} with such a mistake")


def _states_with(settings: list[str]) -> list[workspace.StageState]:
    """The stages' states with these values in params.yaml; it stays as it was if a run with them cannot start."""
    if not settings:
        states = workspace.stage_states()
        if not all(state.fresh for state in states):
            workspace.check_params()
            workspace.check_inputs(states)
        return states
    text = with_values(workspace.PARAMS, settings)
    workspace.check_params(text)
    before = workspace.PARAMS.read_text(encoding="utf-8")
    _write_params(text)
    try:
        states = workspace.stage_states()
        workspace.check_inputs(states)
    except UserError:
        _write_params(before)
        raise
    return states


def _write_params(text: str) -> None:
    with whole(workspace.PARAMS) as path:
        path.write_text(text, encoding="utf-8")


def _run_stale(states: list[workspace.StageState]) -> dict[str, list[str]]:
    """Run the stale ones of these stages; their names by how each came to be what it is."""
    outcomes: dict[str, workspace.How] = {state.name: "fresh" for state in states}
    stale = [state.name for state in states if not state.fresh]
    if stale:
        outcomes |= _run_flow(stale)
    return {how: [name for name in outcomes if outcomes[name] == how] for how in get_args(workspace.How)}


def _score_other_seeds(count: int) -> list[dict[str, Any]]:
    """The scores of `count - 1` seeds after that of params.yaml, which is afterwards as it was before."""
    before = workspace.PARAMS.read_text(encoding="utf-8")
    first = value_of(workspace.PARAMS, SEED)
    scored = []
    try:
        for number in range(1, count):
            err.print(f"seed {first + number}, the first of {count} comes last", style="bold")
            _write_params(with_values(workspace.PARAMS, [f"{SEED}={first + number}"]))
            scored.append(_seed_scores(_run_stale(_up_to(workspace.stage_states(), workspace.EVALUATE))))
    finally:
        _write_params(before)
    return scored


def _seed_scores(by_how: dict[str, list[str]]) -> dict[str, Any]:
    """The seed of params.yaml, the entity F1 of its model, and what had to run for it."""
    metrics = read_json(workspace.METRICS)
    f1 = {split: metrics[split]["entity_strict"]["micro"]["f1"] for split in SPLITS}
    return {"seed": value_of(workspace.PARAMS, SEED), **f1, **by_how}


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

    with interruptible(f"stopped; finished stages are kept, `{program('tuneline')} run` goes on from there"):
        try:
            state = run_pipeline(stages, return_state=True)
        except RuntimeError as error:
            raise UserError(f"Prefect: {error} Is PREFECT_API_URL right, and its server up?") from error
    if state.is_completed():
        return cast(dict[str, workspace.How], state.result())
    if state.name == USER_FAULT_STATE:
        raise UserError(f"{state.message}. The lines above say what and where; mend that and run again.")
    err.print(f"{state.message}; the lines above say where.", style="red")
    raise typer.Exit(1)


def _prepare_prefect() -> None:
    """Set what Prefect reads when it is imported; whatever the user has set stays."""
    if not (Path.home() / ".prefect/profiles.toml").exists():
        # Nobody has set Prefect up here: then its home is the project's, and a run leaves nothing in a home folder.
        home = Path(".tuneline/prefect").absolute()
        home.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("PREFECT_HOME", str(home))
    for name, value in {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The first start makes the database: on two busy cores more than the default of 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "pipeline.console.PlainConsoleHandler",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%H:%M:%S",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s | %(flow_run_name)-8s | %(message)s",
    }.items():
        os.environ.setdefault(name, value)


def _report_run(
    by_how: dict[str, list[str]], *, up_to: str, as_json: bool, seeds: list[dict[str, Any]] | None = None
) -> None:
    """Say what ran; of scores and the model only if this call went as far as the stage that makes them."""
    marker = read_marker() if up_to == workspace.REGISTER else None
    if as_json:
        model = marker and {"name": marker.name, "version": marker.version, "digest": marker.model_digest}
        over_seeds = {"seeds": seeds, **_over_seeds(seeds)} if seeds else {}
        print_json({**by_how, "model": model, "mlflow_run": marker and marker.mlflow_run, **over_seeds})
        return
    if not by_how["executed"] and not by_how["restored"]:
        out.print("Nothing to do: every stage is fresh." if marker else f"Nothing to do up to {up_to}.")
    for how, names in by_how.items():
        if names:
            out.print(f"{how:<9} {', '.join(names)}")
    if up_to not in (workspace.EVALUATE, workspace.REGISTER):
        return
    metrics = read_json(workspace.METRICS)
    for split in SPLITS:
        micro = metrics[split]["entity_strict"]["micro"]
        interval = f"95 % interval {micro['f1_low']:.4f} to {micro['f1_high']:.4f}"
        out.print(f"{split:<9} entity F1 {micro['f1']:.4f} (strict, {interval}, {micro['support']} entities)")
    if seeds:
        _report_seeds(seeds)
    if not marker:
        return
    out.print(f"model     {marker.name} version {marker.version}, digest {marker.model_digest[:12]}")
    _report_next(marker.name)


def _over_seeds(seeds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (of a sample) of the F1 of each split."""
    return {
        name: {split: measure([entry[split] for entry in seeds]) for split in SPLITS}
        for name, measure in (("mean", statistics.mean), ("deviation", statistics.stdev))
    }


def _report_seeds(seeds: list[dict[str, Any]]) -> None:
    for entry in seeds:
        out.print(f"seed {entry['seed']:<4} dev {entry['dev']:.4f}  test {entry['test']:.4f}")
    over = _over_seeds(seeds)
    figures = "  ".join(f"{split} {over['mean'][split]:.4f} ± {over['deviation'][split]:.4f}" for split in SPLITS)
    out.print(f"mean      {figures}  (standard deviation over {len(seeds)} seeds)")


def _report_next(name: str) -> None:
    """What a person can do now, as commands to copy."""
    tuneline = program("tuneline")
    on_server = tracking_uri().startswith("http")
    out.print("\nNext:", style="bold")
    for what, command in (
        ("use it", f'echo "Angela Merkel visited Siemens in Munich." | {tuneline} predict {shlex.quote(name)}'),
        ("look at its mistakes", f"{tuneline} mistakes, or open {workspace.PAGE} in a browser"),
        (
            "see runs and models",
            shown_uri() if on_server else f"{program('mlflow')} ui --backend-store-uri {tracking_uri()}",
        ),
        ("try other values", f"{tuneline} run --set train.learning_rate=1e-4"),
        ("your own text", f"{tuneline} run --set data.dir=FOLDER --set register.name=NAME"),
    ):
        out.print(f"  {what:<20} {command}")
