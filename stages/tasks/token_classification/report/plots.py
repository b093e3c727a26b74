"""data/report/plots: the tables that `dvc plots show` and `dvc plots diff` draw (see dvc.yaml)."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.tasks.token_classification.report.report import Report


def write_plots(folder: Path, report: Report) -> None:
    """Create `folder` and write a CSV file for each plot into it."""
    folder.mkdir()
    learning = report["learning"]
    _write(folder / "loss.csv", ("step", "loss"), learning["steps"])
    epochs = [{"epoch": epoch["epoch"], "dev_f1": epoch["dev_score"]} for epoch in learning["epochs"]]
    _write(folder / "dev_f1.csv", ("epoch", "dev_f1"), epochs)
    for name, split in report["splits"].items():
        per_type = split["scores"]["entity_strict"]["per_type"]
        _write(folder / f"{name}_types.csv", ("type", "f1"), [{"type": kind, **row} for kind, row in per_type.items()])
        _write(folder / f"{name}_reliability.csv", ("score", "precision", "count"), split["reliability"]["bins"])
        _write(folder / f"{name}_confusion.csv", ("gold", "predicted"), _confusion_pairs(split["confusion"]))


def _confusion_pairs(confusion: dict[str, Any]) -> Iterable[dict[str, str]]:
    """A row for each counted pair: DVC's template counts them itself."""
    for gold, counts in zip(confusion["types"], confusion["counts"], strict=True):
        for predicted, count in zip(confusion["types"], counts, strict=True):
            yield from [{"gold": gold, "predicted": predicted}] * count


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
