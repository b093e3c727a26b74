"""The command line. Each command decides here and acts elsewhere; slow libraries are imported where they are used."""

import errno
import json
import os
import shlex
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline import workspace
from pipeline.overrides import with_values
from stages.artifacts import read_json, whole
from stages.errors import UserError
from stages.params import read_document
from stages.tracking import read_marker, shown_uri, tracking_uri

app = typer.Typer(
    help="Fine-tune encoders as a reproducible pipeline: tokenize, train, evaluate, register.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
# No markup and no emoji: `file:100:` and `model[v2]` are to be shown as they are.
out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

CLEAR_LINE = "\r\x1b[K"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for programs.")]


def main() -> None:
    """The console script: a fault of the user's is one message and exit code 2."""
    # Nothing of ours is sent anywhere but to the servers that the user names.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        app()
    except (UserError, OSError, UnicodeError) as error:
        err.print(f"error: {error}", style="red")
        sys.exit(workspace.USER_FAULT)


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
    states = _up_to(_states_with(settings or []), stage)
    outcomes: dict[str, workspace.How] = {state.name: "fresh" for state in states}
    stale = [state.name for state in states if not state.fresh]
    if stale:
        outcomes |= _run_flow(stale)
    by_how = {how: [name for name in outcomes if outcomes[name] == how] for how in get_args(workspace.How)}
    _report_run(by_how, up_to=states[-1].name, as_json=as_json)


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
        shown = Text("fresh", "green") if state.fresh else Text("stale", "yellow")
        table.add_row(state.name, shown, "\n".join(state.because))
    out.print(table)


FORMATS = """
Formats, told apart by the name and the first bytes of each file (data.format says otherwise); any may be a .gz:

    train.conll     Angela B-PER             columns parted by tabs or blanks, a blank line after each sentence;
                    Merkel I-PER             IOB1, IOB2, IOE1, IOE2, IOBES, BILOU or BMES tags
                    visited O

    train.jsonl     {"tokens": ["Angela", "Merkel", "visited"], "tags": ["B-PER", "I-PER", "O"]}
                    {"text": "Angela Merkel visited", "label": [[0, 13, "PER"]]}              doccano
                    {"text": "Angela Merkel visited", "spans": [{"start": 0, "end": 13, "label": "PER"}]}   Prodigy

    train.json      [{"data": {"text": "Angela Merkel visited"}, "annotations": [{"result": [      Label Studio
                     {"type": "labels", "value": {"start": 0, "end": 13, "labels": ["PER"]}}]}]}]

    train.parquet   tokens: list of string       ner_tags: list of ClassLabel        Hugging Face datasets
                    ["Angela", "Merkel", ...]    [1, 2, 0]

    train.csv       tokens,ner_tags
                    "['Angela', 'Merkel', 'visited']","['B-PER', 'I-PER', 'O']"

Splits are files named train, dev (or valid, validation, val) and test, shards such as train-00000-of-00002.parquet, or
folders of such names. A corpus of one file is split by a hash of each sentence:
`--set 'data.split={dev: 0.1, test: 0.1}'`.
"""


@app.command(epilog=FORMATS)
def check(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A corpus, or one file; data.dir of params.yaml if absent.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Read with this value; params.yaml stays as it is. Repeatable."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a corpus without training on it: what it holds, and what is wrong with it.

    Errors are what `tuneline run` would refuse, and make the exit code 2. Warnings are what costs accuracy or spoils
    the scores: sentences in both train and test, types with too few examples, words that the tokenizer does not know.

    Examples:

        tuneline check

        tuneline check data/corpora/mine --set data.tags=3

        tuneline check wikigold.conll --set 'data.split={dev: 0.1, test: 0.1}' --json
    """
    from pipeline.corpus_report import rendered

    place = folder and folder.absolute()
    workspace.enter_root()
    if place is not None:
        settings = [*(settings or []), f"data.dir={json.dumps(os.path.relpath(place), ensure_ascii=False)}"]
    found = workspace.check_corpus(with_values(workspace.PARAMS, settings or []), on_progress=_draw)
    if as_json:
        _print_json(found)
    else:
        out.print(rendered(found))
    if any(finding["grade"] == "error" for finding in found["findings"]):
        raise typer.Exit(workspace.USER_FAULT)


IMPORT_EPILOG = """
The standard form, in data/corpora/NAME: train.conll, dev.conll and test.conll, or NAME.conll of a corpus without
splits; in them a word, a tab and its IOB2 tag a line, a blank line after each sentence, and `-DOCSTART-` before each
document where the source tells documents apart. provenance.json beside them says where the corpus came from, with the
SHA-256 of each file, the tag scheme it had, and its licence.

SOURCE may be in any format that `tuneline check --help` shows, plain or .gz, in a file or in a folder. Of a folder the
data files, those in folders train, dev and test of it, and the licence are fetched.
"""


@app.command("import", epilog=IMPORT_EPILOG)
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A path, or an address: https://, s3://, hf://, ftp:// ...")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it here: data/corpora/NAME.")],
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="How to read the source: data.format, data.words or data.tags. Repeatable.",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(metavar="TEXT_OR_FILE", help="Its licence, to be recorded; a LICENSE in the source is found."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the corpus of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a corpus into the project: fetch it, check it, put it into the standard form and give it to DVC.

    What `tuneline check` calls an error is refused, and then nothing has changed. The same source always becomes the
    same bytes.

    Examples:

        tuneline import ../annotations/letters.jsonl letters --licence "CC BY 4.0"

        tuneline import https://example.org/corpora/press/ press

        tuneline import hf://datasets/OWNER/NAME/data wiki --set data.tags=ner_tags

        tuneline import s3://bucket/news/train.conll.gz news --set data.tags=4
    """
    from pipeline.corpus_report import rendered
    from pipeline.importing import import_corpus

    here = Path.cwd()
    text = _text_or_file(licence)
    workspace.enter_root()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a stop, too, leaves nothing behind
    try:
        done = import_corpus(
            source, name, settings=settings or [], licence=text, force=force, here=here, on_progress=_draw
        )
    except KeyboardInterrupt:
        err.print("stopped; nothing was imported")
        raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        _print_json(
            {
                "path": str(done.path),
                "dvc_file": str(done.dvc_file),
                "source": done.source,
                "digest": done.digest,
                "scheme": done.found["scheme"],
                "splits": done.found["splits"],
                "findings": done.found["findings"],
            }
        )
        return
    out.print(rendered(done.found))
    out.print(f"\n{done.path} holds it in the standard form, and DVC keeps it; digest {done.digest[:12]}")
    _report_import(done.path, done.dvc_file, is_split=len(done.found["splits"]) > 1)


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
        out.print(f"No model in {shown_uri()} yet. Make one: {_command('tuneline')} run")
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
        _print_json({"predictions": lines})
        return
    for text, found in zip(texts, predictions, strict=True):
        out.print(text)
        for entity in found:
            place = f"{entity['start']}-{entity['end']}"
            out.print(f"  {entity['type']:<8} {entity['text']}  ({place}, {entity['score']:.2f})")


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

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop is a person's Ctrl-C
    try:
        state = run_pipeline(stages, return_state=True)
    except KeyboardInterrupt:
        err.print(f"stopped; finished stages are kept, `{_command('tuneline')} run` goes on from there")
        raise typer.Exit(128 + signal.SIGINT) from None
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


def _report_run(by_how: dict[str, list[str]], *, up_to: str, as_json: bool) -> None:
    """Say what ran; of scores and the model only if this call went as far as the stage that makes them."""
    marker = read_marker() if up_to == workspace.REGISTER else None
    if as_json:
        model = marker and {"name": marker.name, "version": marker.version, "digest": marker.model_digest}
        _print_json({**by_how, "model": model, "mlflow_run": marker and marker.mlflow_run})
        return
    if not by_how["executed"] and not by_how["restored"]:
        out.print("Nothing to do: every stage is fresh." if marker else f"Nothing to do up to {up_to}.")
    for how, names in by_how.items():
        if names:
            out.print(f"{how:<9} {', '.join(names)}")
    if up_to not in (workspace.EVALUATE, workspace.REGISTER):
        return
    metrics = read_json(workspace.METRICS)
    for split in ("dev", "test"):
        micro = metrics[split]["entity_strict"]["micro"]
        out.print(f"{split:<9} entity F1 {micro['f1']:.4f} (strict, {micro['support']} entities)")
    if not marker:
        return
    out.print(f"model     {marker.name} version {marker.version}, digest {marker.model_digest[:12]}")
    _report_next(marker.name)


def _report_next(name: str) -> None:
    """What a person can do now, as commands to copy."""
    tuneline = _command("tuneline")
    on_server = tracking_uri().startswith("http")
    out.print("\nNext:", style="bold")
    for what, command in (
        ("use it", f'echo "Angela Merkel visited Siemens in Munich." | {tuneline} predict {shlex.quote(name)}'),
        (
            "see runs and models",
            shown_uri() if on_server else f"{_command('mlflow')} ui --backend-store-uri {tracking_uri()}",
        ),
        ("try other values", f"{tuneline} run --set train.learning_rate=1e-4"),
        ("your own text", f"{tuneline} run --set data.dir=FOLDER --set register.name=NAME"),
    ):
        out.print(f"  {what:<20} {command}")


def _text_or_file(licence: str | None) -> str | None:
    """The text of a licence, be it given as it is or by the name of a file that holds it."""
    if licence is None:
        return None
    try:
        return Path(licence).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return licence
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return licence
        raise


def _report_import(path: Path, dvc_file: Path, *, is_split: bool) -> None:
    """What a person can do with a new corpus, as commands to copy."""
    tuneline = _command("tuneline")
    # What params.yaml says of the corpus that it names now does not hold for a corpus in the standard form.
    data = read_document(workspace.PARAMS).get("data", {})
    stale = [f"--set data.{key}=auto" for key in ("format", "words", "tags") if data.get(key, "auto") != "auto"]
    split = data.get("split")
    if is_split and split is not None:
        stale.append("--set data.split=null")
    reading = "".join(f" {setting}" for setting in stale)
    shares = "" if is_split else " --set 'data.split={dev: 0.1, test: 0.1}'"
    out.print("\nNext:", style="bold")
    for what, command in (
        ("look at it", f"{tuneline} check {path}{reading}"),
        ("keep it in git", f"git add {dvc_file} {dvc_file.with_name('.gitignore')}"),
        ("train on it", f"{tuneline} run --set data.dir={path} --set register.name={path.name}-ner{reading}{shares}"),
    ):
        out.print(f"  {what:<20} {command}")


def _draw(progress: str) -> None:
    """Show a state of a child's progress bar in place of the one before."""
    if sys.stderr.isatty():
        sys.stderr.write(CLEAR_LINE + progress)
        sys.stderr.flush()


def _command(name: str) -> str:
    """How a program of our environment can be called from here."""
    return name if shutil.which(name) else shlex.quote(os.path.relpath(Path(sys.executable).with_name(name)))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
