"""A progress bar on stderr, if it is a terminal or the parent process asks for it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

VARIABLE = "TUNELINE_PROGRESS"


@contextmanager
def progress_bar(*, total: int | None, unit: str, description: str, done: int = 0) -> "Iterator[tqdm[Any]]":
    """Show a bar over `total` units, or a count if the total is None; log messages are printed above it.

    Hidden if stderr is not a terminal, unless the parent process, which draws the bar, has set $TUNELINE_PROGRESS.
    """
    shown = sys.stderr.isatty() or VARIABLE in os.environ
    with (
        logging_redirect_tqdm(),
        tqdm(
            total=total,
            initial=done,
            unit=unit,
            desc=description,
            file=sys.stderr,
            disable=not shown,
            mininterval=0.5,
            leave=False,
            unit_scale=unit == "word",
        ) as progress,
    ):
        yield progress
