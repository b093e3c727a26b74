"""The commands for registered versions: promote, rollback, history, lineage and reproduce."""

import os
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.checkout.layout import PARAMS, enter_root, locate
from pipeline.signals import exit_on_interrupt
from pipeline.terminal import MODEL, Json, draw_progress, err, make_table, out, print_json, write_text
from stages.errors import UserError

if TYPE_CHECKING:
    from pipeline.registry.alias_history import Entry

commands = typer.Typer()


Name = Annotated[str, typer.Argument(metavar="NAME", help="A registered model.")]


@commands.command()
def promote(
    name: Name,
    version: Annotated[int | None, typer.Argument(metavar="VERSION", help="The challenger if absent.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Promote whatever the verdict; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason; the history keeps it.")] = "",
    as_json: Json = False,
) -> None:
    """Compare a version with the champion on the same test examples, and make it champion if it is better.

    The verdict is PROMOTE, HOLD (the difference may be chance) or REJECT (worse, or outside the limits of register.gate
    in params.yaml). It is stored with the version's MLflow run. Exit code 1 if the champion stays.

    Examples:

        tuneline promote demo-ner

        tuneline promote demo-ner 3 --force --reason "The new labels matter more than the score."
    """
    from pipeline.registry.gate import promote as promote_version
    from stages.config.register import Params
    from stages.params import load_params

    if force and not reason.strip():
        raise UserError("--force needs --reason TEXT, which the history keeps")
    enter_root()
    gate = load_params(locate(PARAMS), Params).register_.gate
    verdict, entry = promote_version(name, version, gate, force=force, reason=reason.strip())
    if as_json:
        print_json({**verdict, "promoted": entry is not None})
    else:
        overridden = ", overridden by --force" if verdict["forced"] else ""
        out.print(f"{verdict['verdict']}  {name}/{verdict['challenger']}{overridden}")
        for line in [*verdict["reasons"], *(f"note: {note}" for note in verdict["notes"])]:
            out.print(f"  {line}")
        out.print(f"{name}/{entry.target} is champion now" if entry else _champion_stays(name, verdict["champion"]))
    if entry is None:
        raise typer.Exit(1)


def _champion_stays(name: str, champion: int | None) -> str:
    return f"{name}/{champion} stays champion" if champion else f"{name} has no champion yet"


@commands.command()
def rollback(
    name: Name,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason; the history keeps it.")] = "rolled back",
    as_json: Json = False,
) -> None:
    """Make the previous champion champion again."""
    from pipeline.registry.gate import roll_back

    enter_root()
    entry = roll_back(name, reason=reason)
    if as_json:
        print_json(asdict(entry))
        return
    out.print(f"{name}/{entry.target} is champion again, in place of {name}/{entry.source}")


@commands.command()
def history(
    name: Name,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only the champion at this time: 2026-05-01, or 2026-05-01T14:30."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every promotion and rollback of a model: when, by whom, why, on what evidence.

    Altered entries, and an alias that was moved outside Tuneline, are reported; the exit code is then 1.
    """
    from pipeline.registry import alias_history

    enter_root()
    moment = None if at is None else parse_time(at)
    found = alias_history.read_model_history(name)
    entries = found.entries
    if moment is not None:
        champion = found.champion_at(moment)
        entries = [champion] if champion else []
    if as_json:
        print_json({"entries": [asdict(entry) for entry in entries], "faults": found.faults})
    else:
        table = make_table("time (UTC)", "who", "action", "champion", "previous", "reason")
        for entry in entries:
            table.add_row(
                entry.time[:19], entry.who, entry.action, str(entry.target), str(entry.source or ""), entry.reason
            )
        out.print(table if entries else _no_champion(name, at, found.entries))
        for fault in found.faults:
            err.print(f"warning: {fault}", style="yellow")
    if found.faults:
        raise typer.Exit(1)


def _no_champion(name: str, at: str | None, entries: "list[Entry]") -> str:
    if at is None:
        return f"{name} has had no champion yet"
    since = f"; its first was promoted at {entries[0].time[:19]} UTC" if entries else ""
    return f"{name} had no champion at {at}{since}"


def parse_time(text: str) -> datetime:
    """Parse a date as its end in UTC, or a time, in UTC if it has no zone; UserError if it is neither."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time.max, UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--at {text}: not a date or time; write it like 2026-05-01 or 2026-05-01T14:30") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@commands.command()
def lineage(
    reference: Annotated[str | None, MODEL] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Instead of a model: list the versions that used this file, folder or MD5."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as an HTML page.")] = None,
    openlineage: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as OpenLineage events, a JSON line each.")
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Show every file, including the code.")] = False,
    as_json: Json = False,
) -> None:
    """Show the lineage of a model, back to each file and its digest; or, with --data, the models that used a file.

    A stage that came from DVC's cache is shown with the run that computed it.

    Examples:

        tuneline lineage demo-ner@champion

        tuneline lineage demo-ner/3 --html lineage.html --openlineage events.ndjson

        tuneline lineage --data data/corpora/demo/train.conll
    """
    if (reference is None) == (data is None):
        raise UserError("name a model, as in `tuneline lineage demo-ner@champion`, or a file with --data; not both")
    html, openlineage = (path and path.absolute() for path in (html, openlineage))
    existing = Path(data).absolute() if data and Path(data).exists() else None
    enter_root()
    if data is not None:
        _show_uses(os.path.relpath(existing) if existing else data, as_json=as_json)  # relative, as in the records
        return
    from pipeline.lineage.query import read_version_lineage

    assert reference is not None
    found = read_version_lineage(reference)
    if html:
        from pipeline.lineage.page import render_page

        write_text(html, render_page(found))
    if openlineage:
        from pipeline.lineage.openlineage import render_events

        write_text(openlineage, render_events(found))
    if as_json:
        print_json(found.to_json())
        return
    for name in found.altered:
        err.print(f"warning: the recorded {name} is not the one that was registered", style="yellow")
    if not (html or openlineage):
        from pipeline.lineage.tree import render_tree

        out.print(render_tree(found, files=files))


def _show_uses(target: str, *, as_json: bool) -> None:
    from pipeline.lineage.query import find_uses

    uses = find_uses(target)
    if as_json:
        print_json(asdict(uses))
        return
    for label in uses.untold:
        err.print(f"warning: the lineage of {label} cannot be read", style="yellow")
    if not uses.versions:
        out.print(f"no version of any model used {target}")
        return
    table = make_table("version", "aliases", "champion", "used by", "file", "digest", "")
    for version in uses.versions:
        champion = "is" if version.is_champion else "was" if version.was_champion else ""
        label = f"{version.name}/{version.version}"
        for use in version.used:
            content = "" if use.same else "different content"
            aliases = ", ".join(version.aliases)
            table.add_row(label, aliases, champion, use.stage, use.path, use.digest[:12], content)
            label = champion = ""
    out.print(table)


@commands.command()
def reproduce(
    reference: Annotated[str, MODEL],
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse if the environment differs from the recorded one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rebuild a registered model from its recorded lineage, and compare the two.

    All stages run again, without any cache, in a clean worktree at the recorded commit. The verdict is bit-identical
    (exit code 0), or else (exit code 1) same predictions, same scores (within the recorded interval), or
    different, with the first difference. It is stored with the version as a certificate.

    Examples:

        tuneline reproduce demo-ner@champion

        tuneline reproduce demo-ner/3 --strict --json
    """
    from pipeline.registry.reproduction import reproduce_version

    def show(line: str) -> None:
        draw_progress("")
        err.print(line)

    enter_root()
    with exit_on_interrupt("stopped; all temporary files were removed"):
        certificate = reproduce_version(reference, strict=strict, on_line=show, on_progress=draw_progress)
    draw_progress("")
    if as_json:
        print_json(certificate.to_json())
    else:
        _show_certificate(asdict(certificate))
    if certificate.verdict != "bit-identical":
        raise typer.Exit(1)


def _show_certificate(certificate: dict[str, Any]) -> None:
    from stages.statistics.names import shorten_score

    out.print(f"{certificate['name']}/{certificate['version']}: {certificate['verdict']}")
    first, more = certificate["first_difference"], len(certificate["differences"]) - 1
    if first:
        out.print(f"  first difference  {first['stage']}: {first['what']}" + (f", and {more} more" if more else ""))
    for line in certificate["environment_differences"]:
        out.print(f"  environment       {line}")
    score, name = certificate["score"], shorten_score(certificate["primary"]["name"])
    if certificate["verdict"] != "bit-identical" and None not in score.values():
        out.print(f"  {name} on test {score['recorded']:.4f} recorded, {score['rebuilt']:.4f} rebuilt")
