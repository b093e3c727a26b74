"""The tables of a report as CSV files, for `dvc plots`, and the facts in its head."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN_LEFT_OUT = 5  # examples that were left out of the corpus


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write these columns of the rows, under a line with their names; what else a row has is left out."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_learning(folder: Path, learning: Mapping[str, Any]) -> None:
    """Write loss.csv, a row for each step, and dev_score.csv, a row for each epoch (see `describe_learning`)."""
    write_csv(folder / "loss.csv", ("step", "loss"), learning["steps"])
    write_csv(folder / "dev_score.csv", ("epoch", "dev_score"), learning["epochs"])


def describe_left_out(
    counts: Mapping[str, Mapping[str, int]], named: Mapping[str, Sequence[str]], *, examples: str = "Texts"
) -> list[tuple[str, str]]:
    """The fact that examples with faults were left out of the corpus, the first of them by file and line; or none.

    `counts` are those of each split, `named` lines such as `train.csv:3: the label is empty`.
    """
    count = sum(numbers.get("dropped", 0) for numbers in counts.values())
    places = [line.split(": ")[0] for lines in named.values() for line in lines][:SHOWN_LEFT_OUT]
    more = ", …" if count > len(places) and places else ""
    where = f": {', '.join(places)}{more}" if places else ""
    return [(f"{examples} left out", f"{count:,}, for faults{where}")] if count else []
