"""What can be deleted, in one form for all kinds."""

import re
from dataclasses import dataclass
from typing import Literal

DIGEST = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")  # an MD5 as DVC writes it, not part of a longer digest

Kind = Literal["version", "model", "run", "cache", "checkpoint", "lock", "leftover", "pretrained"]
MLFLOW_KINDS = ("version", "model", "run")


@dataclass(frozen=True)
class Garbage:
    """Something that nothing uses, with a description, a reason and its size in bytes (None: it holds no files).

    `place` identifies it: name and number of a version, the id of a run or a logged model, or paths.
    """

    kind: Kind
    what: str
    why: str
    size: int | None
    place: tuple[str, ...]
