"""The command timeline."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.checkout.layout import PARAMS, enter_root, locate
from pipeline.signals import exit_on_interrupt
from pipeline.terminal import Json, err, out, print_json, write_text
from stages.errors import UserError

commands = typer.Typer()


@commands.command()
def timeline(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="The parts, in the order in which they arrive.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Cut data.dir by the values of this column, sorted.")
    ] = None,
    ways: Annotated[
        str, typer.Option(metavar="WAY,…", help="Of restart, go-on, replay and retain.")
    ] = "restart,go-on,replay,retain",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page as well.")] = None,
    as_json: Json = False,
) -> None:
    """Retrain from scratch or go on? Play a corpus in parts, such as months, and see.

    After each part a model is trained: by restart on all parts so far; by go-on from the champion on the new part
    alone; by replay with old examples among the new; by retain near what the champion predicts. It is scored on the
    test examples of all parts, those to come included, and judged by the gate. Every step is an ordinary run, which is
    registered as NAME-WAY and comes from DVC's cache if it was computed before; params.yaml stays as it is.

    Each part is read with the section data of params.yaml, and needs train, dev and test: by files, or by data.split.

    Examples:

        tuneline timeline --by month --html timeline.html

        tuneline timeline data/corpora/january data/corpora/february --ways restart,replay
    """
    from pipeline.checkout.locks import checkout_lock
    from pipeline.timeline.play import WAYS

    places = [folder.absolute() for folder in folders or []]
    target = html and html.absolute()
    enter_root()
    chosen = ways.split(",")
    unknown = [way for way in chosen if way not in WAYS]
    if unknown or len(set(chosen)) < len(chosen):
        raise UserError(f"--ways {ways}: name each of {', '.join(WAYS)} once at most, with commas between")
    if (by is None) == (not places):
        raise UserError("name either the folders of the parts, or the column that cuts data.dir: --by COLUMN")
    again = "stopped; what was computed is kept, and the same command resumes from there"
    with checkout_lock(on_wait=err.print), exit_on_interrupt(again):
        _play(places, by, chosen, target, as_json=as_json)


def _play(places: list[Path], by: str | None, ways: list[str], html: Path | None, *, as_json: bool) -> None:
    from pipeline.timeline.parts import cut_by_column, use_folders
    from pipeline.timeline.play import Step, play
    from pipeline.timeline.report import make_summary, make_tables, render_page, summarise
    from stages.params import read_document

    params = read_document(locate(PARAMS))
    name = params["register"]["name"]
    if by is not None:
        parts = cut_by_column(params["data"], params["task"], by)
    else:
        parts = use_folders([Path(os.path.relpath(place)) for place in places], f"{name}-timeline")
    count = len(parts) * len(ways)

    def show(step: Step) -> None:
        shown.append(step)
        err.print(f"{len(shown)} of {count}: {step.way} up to {step.part}: {step.model}, {step.verdict}", style="bold")

    shown: list[Step] = []
    steps = play(parts, ways, on_step=show)
    if html is not None:
        write_text(html, render_page(steps, parts, name=name))
    if as_json:
        named = [part.name for part in parts]
        print_json({"parts": named, "steps": [step.to_json() for step in steps], "summary": summarise(steps, parts)})
        return
    for table in (*make_tables(steps, parts), make_summary(steps, parts)):
        out.print(table)
        out.print()
