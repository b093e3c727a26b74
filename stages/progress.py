"""A progress bar on stderr: where a person looks on, or where whoever started us says that one does."""

import os
import sys
from typing import Any

from tqdm import tqdm

VARIABLE = "TUNELINE_PROGRESS"


def bar(*, total: int, unit: str, **options: Any) -> "tqdm[Any]":
    """A bar over `total` units; silent where stderr is a file, unless a parent that draws set $TUNELINE_PROGRESS."""
    shown = sys.stderr.isatty() or VARIABLE in os.environ
    return tqdm(total=total, unit=unit, file=sys.stderr, disable=not shown, mininterval=0.5, leave=False, **options)
