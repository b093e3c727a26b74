"""The command suspects: examples whose labels are probably wrong."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.checkout.layout import enter_root
from pipeline.signals import exit_on_interrupt
from pipeline.terminal import Json, draw_progress, err, out, print_json, write_text

commands = typer.Typer()


@commands.command()
def suspects(
    split: Annotated[str, typer.Option(metavar="NAME", help="train, dev or test.")] = "train",
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="The number of examples to list; 0 for all.")] = 20,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write them as a table, too.")] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Write them as an HTML page, too.")] = None,
    export: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="TOOL FILE",
            help="Write them for annotators to correct, too, as doccano or labelstudio imports them.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the examples whose labels are probably wrong, the surest first.

    Of train by what the model thought of each label while it learnt: those that it did not come to believe are rare
    cases, or wrong. Of dev and test by the predictions of evaluate.

    Examples:

        tuneline suspects

        tuneline suspects --split test --limit 50 --page suspects.html

        tuneline suspects --limit 0 --export labelstudio tasks.json
    """
    from rich.text import Text

    from pipeline.checkout.params_file import load_own_task
    from pipeline.formatting import format_runs
    from pipeline.suspects.export import require_tool
    from pipeline.suspects.find import find_suspects

    csv, page = csv and csv.absolute(), page and page.absolute()
    if export:
        require_tool(export[0])
        export = (export[0], export[1].absolute())
    enter_root()
    task = load_own_task()
    with exit_on_interrupt("stopped"):
        found = find_suspects(split, limit=limit, on_progress=draw_progress)
    draw_progress("")
    listed = found["suspects"]
    if export:
        from pipeline.suspects.export import configure_label_studio, export_suspects

        tool, target = export
        write_text(target, export_suspects(tool, listed, task=task.name))
        if tool == "labelstudio":
            err.print(f"its labelling configuration: {configure_label_studio(listed, task=task.name)}")
    if csv:
        from pipeline.suspects.table import render_csv

        write_text(csv, render_csv(listed, task.presentation))
    if page:
        from pipeline.suspects.page import render_page

        write_text(page, render_page(found, task))
    if as_json:
        print_json(found)
        return
    for entry in listed:
        out.print(Text(f"{entry['where']}: {entry['score']:.2f}", "bold"))
        rows = task.presentation.show_text(entry)
        for side, other in (("given", "likely"), ("likely", "given")):
            rows.append((side, format_runs(task.presentation.show_answer(entry, side, other))))
        for name, value in rows:
            out.print(Text(f"  {name:<6}  {value}"))
    out.print(f"{len(listed)} of {found['count']} {task.words.examples} of {split} with doubtful {task.words.answers}")
