"""data/report/plots: the tables that `dvc plots show` and `dvc plots diff` draw (see plots.yaml)."""

from pathlib import Path
from typing import Any

from stages.reporting.tables import write_csv, write_learning


def write_plots(folder: Path, report: dict[str, Any]) -> None:
    """Create `folder` and write a CSV file for each plot into it."""
    folder.mkdir()
    write_learning(folder, report["learning"])
    for name, split in report["splits"].items():
        rows = [{"frequency": band, "nats": row["value"]} for band, row in split["by_frequency"].items()]
        write_csv(folder / f"{name}_frequency.csv", ("frequency", "nats"), rows)
