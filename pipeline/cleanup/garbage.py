"""What can be deleted, in one form whatever it is."""

import re
from dataclasses import dataclass
from typing import Literal

DIGEST = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")  # an MD5 as DVC writes it; no part of a longer one

Kind = Literal["version", "model", "run", "cache", "checkpoint", "lock", "leftover"]
OF_MLFLOW = ("version", "model", "run")


@dataclass(frozen=True)
class Garbage:
    """Something that nothing reaches; `size` in bytes, None where it has none of its own.

    `place` is what `remove` needs: name and number of a version, the id of a run or a logged model, or paths.
    """

    kind: Kind
    what: str
    why: str
    size: int | None
    place: tuple[str, ...]
