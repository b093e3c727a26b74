"""What the commands share: the two consoles, JSON for programs, commands to copy, a child's progress bar."""

import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stages.artifacts import atomic_write

CLEAR_LINE = "\r\x1b[K"

# No markup and no emoji: `file:100:` and `model[v2]` are to be shown as they are.
out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

REFERENCE = "NAME[@ALIAS or /VERSION]"  # see registry.find
MODEL = typer.Argument(metavar=REFERENCE, help="NAME alone is its challenger, or else its champion.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for programs.")]


@contextmanager
def interruptible(said: str) -> Iterator[None]:
    """Within, Ctrl-C or a supervisor's SIGTERM ends the command with code 130, and its children with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        err.print(said)
        raise typer.Exit(128 + signal.SIGINT) from None


def draw(progress: str) -> None:
    """Show a state of a child's progress bar in place of the one before."""
    if sys.stderr.isatty():
        sys.stderr.write(CLEAR_LINE + progress)
        sys.stderr.flush()


def program(name: str) -> str:
    """How a program of our environment can be called from here."""
    return name if shutil.which(name) else shlex.quote(os.path.relpath(Path(sys.executable).with_name(name)))


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and say so."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    err.print(f"wrote {path}")


def print_json(value: Any) -> None:
    """One object on stdout, for programs."""
    print(json.dumps(value, ensure_ascii=False))
