"""How values are written for people, the same in every command and page."""

import json
from datetime import UTC, datetime
from typing import Any


def moment(time: str) -> str:
    """A time of a record as people read it, in UTC to the second."""
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def commit(git: dict[str, Any]) -> str:
    """The commit, and whether the files differed from it."""
    if git["commit"] is None:
        return "none: git had no commit"
    return f"{git['commit']} with uncommitted changes" if git["dirty"] else str(git["commit"])


def counted(number: int, thing: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def shown(value: Any) -> str:
    """A parameter as params.yaml could have it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
