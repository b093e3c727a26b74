"""data/report/plots: the tables that `dvc plots show` and `dvc plots diff` draw (see plots.yaml)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.reporting.evaluation import Report
from stages.reporting.tables import write_csv, write_learning


def write_plots(folder: Path, report: Report) -> None:
    """Create `folder` and write a CSV file for each plot into it."""
    folder.mkdir()
    write_learning(folder, report["learning"])
    for name, split in report["splits"].items():
        per_type = split["scores"]["entity_strict"]["per_type"]
        write_csv(
            folder / f"{name}_types.csv", ("type", "f1"), [{"type": kind, **row} for kind, row in per_type.items()]
        )
        write_csv(folder / f"{name}_reliability.csv", ("score", "precision", "count"), split["reliability"]["bins"])
        write_csv(folder / f"{name}_confusion.csv", ("gold", "predicted"), _confusion_pairs(split["confusion"]))


def _confusion_pairs(confusion: dict[str, Any]) -> Iterable[dict[str, str]]:
    """A row for each counted pair: DVC's template counts them itself."""
    for gold, counts in zip(confusion["types"], confusion["counts"], strict=True):
        for predicted, count in zip(confusion["types"], counts, strict=True):
            yield from [{"gold": gold, "predicted": predicted}] * count
