"""The command compare: what lies between two versions in the registry."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.checkout.layout import enter_root
from pipeline.terminal import MODEL, REFERENCE, Json, draw, interruptible, out, print_json, write_text

commands = typer.Typer()


@commands.command()
def compare(
    first: Annotated[str, typer.Argument(metavar=REFERENCE, help="The one to compare with, such as the champion.")],
    second: Annotated[str, MODEL],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it into one HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what differs between two models: parameters, data, code, environment, scores, and what they predict.

    Of the data: which sentences were added, removed, relabelled, or moved to another split. Of the scores: F1 of
    entities with a 95 % interval of the difference, and the p-value: how often chance alone would make as large a
    difference in this direction. Of the predictions: which test sentences only one of the two gets right. If they were
    scored on other test sentences, the first is scored again on those of the second.

    Examples:

        tuneline compare demo-ner/3 demo-ner/4

        tuneline compare demo-ner@champion demo-ner@challenger --html comparison.html

        tuneline compare demo-ner mine-ner --json
    """
    from pipeline.comparison import compare

    html = html and html.absolute()
    enter_root()
    with interruptible("stopped"):
        found = compare.compare(first, second, on_progress=draw)
    draw("")
    if html:
        from pipeline.comparison.page import render

        write_text(html, render(found))
    if as_json:
        print_json(asdict(found))
    elif not html:
        from pipeline.comparison.text import rendered

        for part in rendered(found):
            out.print(part)
