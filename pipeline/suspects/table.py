"""Suspects as a CSV file, a row each."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.formatting import format_runs
from stages.scoring import Presentation

COLUMNS = ("where", "score", "text", "pair", "given", "likely")


def render_csv(suspects: Sequence[Mapping[str, Any]], presentation: Presentation) -> str:
    """The table; answers are as the command prints them, and `pair` is empty where an example has one text."""
    target = io.StringIO()
    table = csv.DictWriter(target, COLUMNS, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    for entry in suspects:
        answers = {side: format_runs(presentation.show_answer(entry, side, side)) for side in ("given", "likely")}
        table.writerow({"text": " ".join(entry.get("words", ())), "pair": "", **entry, **answers})
    return target.getvalue()
