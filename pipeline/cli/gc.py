"""The command that makes space: gc."""

from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from pipeline.checkout.layout import enter_root
from pipeline.cleanup.garbage import OF_MLFLOW, Garbage
from pipeline.cleanup.plan import remove, undisturbed, unreached
from pipeline.terminal import Json, err, out, print_json, program
from stages.errors import UserError

commands = typer.Typer()

SHOWN = 20  # of each kind


@commands.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is shown.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it, as without any option.")] = False,
    as_json: Json = False,
) -> None:
    """Show what nothing reaches any more, or delete it.

    A model version stays if it has an alias, if the history of promotions names it, or if a dvc.lock here or in any
    commit names its model; with it stay its runs, and its files in DVC's cache. What is unreached: other versions with
    their uploads and runs; runs of no version and checkpoints of no running training, older than a day; files in DVC's
    cache that no commit, no checkout and no such version needs; leftovers of killed commands.

    The DVC remote is left alone. What is deleted in MLflow is only marked so there, until its own `mlflow gc`.

    Examples:

        tuneline gc

        tuneline gc --json

        tuneline gc --yes
    """
    if yes and dry_run:
        raise UserError("--dry-run shows what --yes deletes; give one of them")
    enter_root()
    if yes:
        with undisturbed(_say):
            found = unreached(now=datetime.now(UTC), on_line=_warn)
            for garbage in found:
                remove(garbage)
    else:
        found = unreached(now=datetime.now(UTC), on_line=_warn)
    total = sum(garbage.size or 0 for garbage in found)
    if as_json:
        print_json({"unreached": [asdict(garbage) for garbage in found], "bytes": total, "deleted": yes})
        return
    if not found:
        out.print("Nothing is unreached.")
        return
    out.print(_table(found))
    out.print(f"{len(found)} unreached, {decimal(total)}" + (": deleted" if yes else ""))
    if not yes:
        out.print(f"Delete it: {program('tuneline')} gc --yes")
    elif any(garbage.kind in OF_MLFLOW for garbage in found):
        out.print(
            f"MLflow has only marked its part as deleted. Free it too, where its store is: {program('mlflow')} gc"
        )


def _table(found: list[Garbage]) -> Table:
    """By kind, each with its sum."""
    table = Table("kind", "what", "size", "why", box=None, pad_edge=False)
    table.columns[1].overflow = "fold"  # an id is to be copied whole
    table.columns[2].justify = "right"
    for kind, members in groupby(found, key=lambda garbage: garbage.kind):
        group = list(members)
        for garbage in group[:SHOWN]:
            table.add_row(kind, garbage.what, "" if garbage.size is None else decimal(garbage.size), garbage.why)
        more = f"and {len(group) - SHOWN} more; " if len(group) > SHOWN else ""
        if len(group) > 1:
            total = decimal(sum(garbage.size or 0 for garbage in group))
            table.add_row("", f"{more}{len(group)} together", total, "", style="bold")
    return table


def _warn(line: str) -> None:
    err.print(f"warning: {line}", style="yellow")


def _say(line: str) -> None:
    err.print(line)
