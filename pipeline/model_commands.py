"""The commands that concern models: models, predict, mistakes, promote, rollback and history."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline import workspace
from pipeline.terminal import Json, err, out, print_json, program
from stages.errors import UserError
from stages.params import load_params
from stages.sections.register import Params
from stages.tracking import shown_uri

commands = typer.Typer()


@commands.command()
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


@commands.command()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="NAME[@ALIAS]", help="A registered model; NAME alone is its challenger.")
    ],
    file: Annotated[
        typer.FileText,
        typer.Argument(metavar="[FILE]", encoding="utf-8", help="A text a line; standard input if absent."),
    ] = "-",  # type: ignore[assignment]  # by which click means standard input
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


@commands.command()
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


Name = Annotated[str, typer.Argument(metavar="NAME", help="A registered model.")]


@commands.command()
def promote(
    name: Name,
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", help="The challenger if absent.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever the verdict; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Stands in the history for ever.")] = "",
    as_json: Json = False,
) -> None:
    """Compare a version with the champion on the same test sentences, and make it champion if it is better.

    The verdict is PROMOTE, HOLD (the difference may be luck) or REJECT (worse, or below a floor of register.gate in
    params.yaml). It is kept with the version's run in MLflow. Exit code 1 if the champion stays.

    Examples:

        tuneline promote demo-ner

        tuneline promote demo-ner 3 --force --reason "The new labels matter more than the score."
    """
    from pipeline import promotion

    if force and not reason.strip():
        raise UserError("--force needs --reason TEXT, which stands in the history")
    workspace.enter_root()
    gate = load_params(workspace.PARAMS, Params).register_.gate
    verdict, entry = promotion.promote(name, version, gate, force=force, reason=reason.strip())
    if as_json:
        print_json({**verdict, "promoted": entry is not None})
    else:
        out.print(f"{verdict['verdict']}  {name}/{verdict['challenger']}")
        for line in verdict["reasons"]:
            out.print(f"  {line}")
        out.print(f"{name}/{entry.target} is champion now" if entry else _champion_stays(name, verdict["champion"]))
    if entry is None:
        raise typer.Exit(1)


def _champion_stays(name: str, champion: int | None) -> str:
    return f"{name}/{champion} stays champion" if champion else f"{name} has no champion yet"


@commands.command()
def rollback(
    name: Name,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; stands in the history.")] = "rolled back",
    as_json: Json = False,
) -> None:
    """Make the champion before the present one champion again."""
    from pipeline import promotion

    workspace.enter_root()
    entry = promotion.roll_back(name, reason=reason)
    if as_json:
        print_json(asdict(entry))
        return
    out.print(f"{name}/{entry.target} is champion again, in place of {name}/{entry.source}")


@commands.command()
def history(
    name: Name,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only who was champion then: 2026-05-01, or 2026-05-01T14:30.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell every promotion and rollback of a model: when, by whom, why, on what evidence.

    An entry that was altered, and an alias that was moved outside Tuneline, is told too; the exit code is then 1.
    """
    from pipeline import ledger

    workspace.enter_root()
    moment = None if at is None else moment_of(at)
    found = ledger.read_of(name)
    entries = found.entries
    if moment is not None:
        champion = found.champion_at(moment)
        entries = [champion] if champion else []
    if as_json:
        print_json({"entries": [asdict(entry) for entry in entries], "faults": found.faults})
    else:
        table = Table("time (UTC)", "who", "action", "champion", "before", "reason", box=None, pad_edge=False)
        for entry in entries:
            table.add_row(
                entry.time[:19], entry.who, entry.action, str(entry.target), str(entry.source or ""), entry.reason
            )
        out.print(table if entries else f"{name} had no champion" + (f" at {at}" if at else " yet"))
        for fault in found.faults:
            err.print(f"warning: {fault}", style="yellow")
    if found.faults:
        raise typer.Exit(1)


def moment_of(text: str) -> datetime:
    """A date, its end in UTC, or a time, in UTC if it names no zone; UserError if it is neither."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--at {text}: no date or time; write it as in 2026-05-01 or 2026-05-01T14:30") from None
    if len(text) == len("2026-05-01"):
        moment = moment.replace(hour=23, minute=59, second=59)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
