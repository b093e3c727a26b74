"""The commands for the care of a machine: doctor, which says what it lacks, and gc, which frees disk space."""

from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.checkout.layout import enter_root
from pipeline.terminal import Json, err, make_table, out, print_json, program, store_option
from stages.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.cleanup.garbage import Garbage

commands = typer.Typer()

STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}
MAX_SHOWN = 20  # of each kind


@commands.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is shown.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it; the default.")] = False,
    as_json: Json = False,
) -> None:
    """Show what nothing uses any more, or delete it.

    A model version stays if it has an alias, if its alias history names it, or if a dvc.lock of a worktree or of any
    commit refers to its model; its runs and its files in DVC's cache stay with it. Unused are: other versions with
    their uploads and runs; runs without a version, and checkpoints of no running training run, older than a day; files
    in DVC's cache that no commit, no worktree and no such version needs; temporary folders of killed commands.

    The DVC remote is not touched. MLflow only marks its part as deleted, until you run `mlflow gc`.

    Examples:

        tuneline gc

        tuneline gc --json

        tuneline gc --yes
    """
    if yes and dry_run:
        raise UserError("--dry-run shows what --yes deletes; give one of them")
    from rich.filesize import decimal

    from pipeline.cleanup.garbage import MLFLOW_KINDS
    from pipeline.cleanup.plan import cleanup_lock, delete, find_garbage

    enter_root()
    if yes:
        with cleanup_lock(_say):
            found = find_garbage(now=datetime.now(UTC), on_line=_warn)
            for garbage in found:
                delete(garbage)
    else:
        found = find_garbage(now=datetime.now(UTC), on_line=_warn)
    total = sum(garbage.size or 0 for garbage in found)
    if as_json:
        print_json({"unreached": [asdict(garbage) for garbage in found], "bytes": total, "deleted": yes})
        return
    if not found:
        out.print("Nothing is unused.")
        return
    out.print(_table(found))
    out.print(f"{len(found)} unused, {decimal(total)}" + (": deleted" if yes else ""))
    if not yes:
        out.print(f"Delete it: {program('tuneline')} gc --yes")
    elif any(garbage.kind in MLFLOW_KINDS for garbage in found):
        from stages.tracking.client import tracking_uri

        out.print(
            "MLflow has only marked its part as deleted. To free the space, run on the machine of its store: "
            f"{program('mlflow')} gc{store_option(tracking_uri())}"
        )


def _table(found: "list[Garbage]") -> "Table":
    """The garbage by kind, each with its total size."""
    from rich.filesize import decimal

    table = make_table("kind", "what", "size", "why")
    table.columns[2].justify = "right"
    for kind, members in groupby(found, key=lambda garbage: garbage.kind):
        group = list(members)
        for garbage in group[:MAX_SHOWN]:
            table.add_row(kind, garbage.what, "" if garbage.size is None else decimal(garbage.size), garbage.why)
        more = f"and {len(group) - MAX_SHOWN} more; " if len(group) > MAX_SHOWN else ""
        if len(group) > 1:
            total = decimal(sum(garbage.size or 0 for garbage in group))
            table.add_row("", f"{more}{len(group)} together", total, "", style="bold")
    return table


def _warn(line: str) -> None:
    err.print(f"warning: {line}", style="yellow")


def _say(line: str) -> None:
    err.print(line)


@commands.command()
def doctor(as_json: Json = False) -> None:
    """Check what runs on this machine need: packages, parameters, device, git, DVC remote, MLflow and Prefect.

    Each check prints what it found and, where something is missing, what to do. A fault makes the exit code 2; a
    warning is what only some runs need. The check of the DVC remote writes a file of a few bytes and removes it.

    Examples:

        tuneline doctor

        PREFECT_API_URL=http://server:4200/api tuneline doctor --json
    """
    from rich.text import Text

    from pipeline.doctor.checks import examine

    enter_root()
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            out.print(Text(f"{finding.state:<8}", STYLES[finding.state]), Text(f"{finding.name:<11} {finding.detail}"))
            if finding.remedy:
                out.print(f"{'':<20} {finding.remedy}")
    faults = [finding.name for finding in findings if finding.state == "fault"]
    if as_json:
        print_json({"ok": not faults, "checks": [asdict(finding) for finding in findings]})
    if faults:
        raise typer.Exit(UserError.exit_code)
