"""A progress bar on stderr: where a person looks on, or where whoever started us says that one does."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

VARIABLE = "TUNELINE_PROGRESS"


@contextmanager
def bar(*, total: int | None, unit: str, description: str, done: int = 0) -> "Iterator[tqdm[Any]]":
    """A bar over `total` units, or a mere count where nobody knows the total, which log lines do not tear.

    Silent where stderr is a file, unless a parent that draws has set $TUNELINE_PROGRESS.
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
