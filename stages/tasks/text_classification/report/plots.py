"""data/report/plots: the tables that `dvc plots show` and `dvc plots diff` draw (see plots.yaml)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stages.reporting.evaluation import Report
from stages.reporting.tables import write_csv, write_learning

MAX_LABELS = 20  # in the plot of confusion


def write_plots(folder: Path, report: Report) -> None:
    """Create `folder` and write a CSV file for each plot into it."""
    folder.mkdir()
    write_learning(folder, report["learning"])
    for name, split in report["splits"].items():
        per_label = [{"label": label, **row} for label, row in split["scores"]["per_label"].items()]
        write_csv(folder / f"{name}_labels.csv", ("label", "f1"), per_label)
        lengths = [{"characters": length, "score": row["value"]} for length, row in split["by_length"].items()]
        write_csv(folder / f"{name}_lengths.csv", ("characters", "score"), lengths)
        write_csv(folder / f"{name}_confusion.csv", ("gold", "predicted"), _confusion_rows(split["pairs"]))
        for when, suffix in (("before", "_before"), ("after", "")):
            bins = split["reliability"][when]["bins"]
            write_csv(folder / f"{name}_reliability{suffix}.csv", ("score", "precision", "count"), bins)


def _confusion_rows(pairs: Sequence[dict[str, Any]]) -> Iterable[dict[str, str]]:
    """A row for each confusion among the labels of the most frequent ones: DVC's template counts them itself."""
    shown: dict[str, None] = {}
    for pair in pairs:
        new = {pair["gold"], pair["predicted"]} - set(shown)
        if len(shown) + len(new) <= MAX_LABELS:
            shown |= dict.fromkeys(sorted(new))
    for pair in pairs:
        if pair["gold"] in shown and pair["predicted"] in shown:
            yield from [{"gold": pair["gold"], "predicted": pair["predicted"]}] * pair["count"]
