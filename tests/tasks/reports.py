"""What the reports of texts share: how a training run went, and the plots that DVC draws."""

import csv
from pathlib import Path
from typing import Any

import yaml

LEARNING = {
    "steps": [{"step": step, "loss": 2.0 / step, "learning_rate": 1e-5 * step} for step in range(1, 5)],
    "epochs": [{"epoch": 1, "step": 2, "dev_score": 0.4}, {"epoch": 2, "step": 4, "dev_score": 0.6}],
    "best_epoch": 2,
}


def drawn_plots(listed: Path, plots: Path) -> set[str]:
    """The files of `plots` that the list for DVC names; each has rows, and the columns that are drawn."""
    names = set()
    for entry in yaml.safe_load(listed.read_text(encoding="utf-8")):
        ((_, plot),) = entry.items()
        for path, column in plot["y"].items():
            assert path.startswith("data/report/plots/")
            rows = read_plot(plots / Path(path).name)
            assert rows
            assert {plot["x"], column} <= set(rows[0])
            names.add(Path(path).name)
    return names


def read_plot(path: Path) -> list[dict[str, Any]]:
    """The rows of a plot."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
