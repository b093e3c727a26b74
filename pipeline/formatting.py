"""Text for people, the same in every command and page: times, commits, counts, values."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from stages.scoring import Run

NO_REASON = "the reason is not recorded"


def format_time(time: str) -> str:
    """An ISO 8601 time in UTC, to the second."""
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_commit(commit: str | None, *, dirty: bool | None, reason: str | None) -> str:
    """The commit and whether the files differed from it, or the reason why there is none, None if it is not known."""
    if commit is None:
        return f"none: {reason or NO_REASON}"
    return f"{commit} with uncommitted changes" if dirty else commit


def format_count(number: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def format_value(value: Any) -> str:
    """A parameter's value as params.yaml could hold it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def format_runs(runs: Sequence[Run]) -> str:
    """An answer in a line: a text with `[words LABEL score]` where it has labels, or labels with their scores."""
    parts = []
    for run in runs:
        score = "" if run.score is None else f" {run.score:.2f}"
        labelled = f"[{run.text} {run.label}{score}]" if run.text else f"{run.label}{score}"
        parts.append(run.text if run.label is None else labelled)
    return (" " if any(run.text for run in runs) else ", ").join(parts)
