"""data/report/plots: the tables that `dvc plots show` and `dvc plots diff` draw (see plots.yaml)."""

from pathlib import Path
from typing import Any

from stages.reporting.tables import write_csv, write_learning


def write_plots(folder: Path, report: dict[str, Any]) -> None:
    """Create `folder` and write a CSV file for each plot into it."""
    folder.mkdir()
    write_learning(folder, report["learning"])
    for name, split in report["splits"].items():
        targets = split["targets"].items()
        points = [{"target": target, **point} for target, found in targets for point in found["points"]]
        write_csv(folder / f"{name}_predicted.csv", ("target", "gold", "predicted"), points)
        bins = [{"target": target, **row} for target, found in targets for row in found["bins"]]
        bins = [row | {"residual": f"{row['residual']:.4g}"} for row in bins]
        write_csv(folder / f"{name}_residuals.csv", ("target", "residual", "count"), bins)
        lengths = [{"characters": length, "score": row["value"]} for length, row in split["by_length"].items()]
        write_csv(folder / f"{name}_lengths.csv", ("characters", "score"), lengths)
