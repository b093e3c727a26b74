"""The command compare: the differences of two registered versions."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.checkout.layout import enter_root
from pipeline.signals import exit_on_interrupt
from pipeline.terminal import MODEL, REFERENCE, Json, draw_progress, out, print_json, write_text

commands = typer.Typer()


@commands.command()
def compare(
    first: Annotated[str, typer.Argument(metavar=REFERENCE, help="The baseline, such as the champion.")],
    second: Annotated[str, MODEL],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as an HTML page.")] = None,
    as_json: Json = False,
) -> None:
    """Compare two models: parameters, data, code, environment, scores and predictions.

    Data: the examples that were added, removed, relabelled, or moved to another split. Scores: the task's primary one,
    the 95 % interval of the difference, and the p-value, which is the probability of a difference at least as large in
    this direction if both were equally good. Predictions: the test examples that only one of the two gets right. If
    they were scored on different test examples, the first is rescored on those of the second.

    Examples:

        tuneline compare demo-ner/3 demo-ner/4

        tuneline compare demo-ner@champion demo-ner@challenger --html comparison.html

        tuneline compare demo-ner mine-ner --json
    """
    from pipeline.comparison import compare

    html = html and html.absolute()
    enter_root()
    with exit_on_interrupt("stopped"):
        found = compare.compare(first, second, on_progress=draw_progress)
    draw_progress("")
    if html:
        from pipeline.comparison.page import render_page

        write_text(html, render_page(found))
    if as_json:
        print_json(asdict(found))
    elif not html:
        from pipeline.comparison.text import render_text

        for part in render_text(found):
            out.print(part)
