"""What all commands share: the two consoles, JSON output, commands to copy, progress bars of child processes."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipeline.signals import CLEAR_LINE
from stages.artifacts import atomic_write

if TYPE_CHECKING:
    from rich.table import Table

CALLED_IN = "TUNELINE_CALLED_IN"  # holds the folder that the command was called in, which it has left for the root
UNLIMITED = 100_000  # columns: where no terminal limits it, a table is as wide as its content, for grep and awk

# No markup and no emoji: `file:100:` and `model[v2]` must appear literally.
out = Console(
    width=None if sys.stdout.isatty() else UNLIMITED, soft_wrap=True, highlight=False, markup=False, emoji=False
)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

REFERENCE = "NAME[@ALIAS or /VERSION]"  # see resolve in registry/versions.py
MODEL = typer.Argument(metavar=REFERENCE, help="NAME alone means its challenger, or else its champion.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for programs.")]


def draw_progress(state: str) -> None:
    """Draw a state of a child's progress bar over the previous one, if stderr is a terminal; clear it if empty."""
    if sys.stderr.isatty():
        sys.stderr.write(CLEAR_LINE + state)
        sys.stderr.flush()


def make_table(*headers: str) -> "Table":
    """Make a table without lines, whose cells wrap in a narrow terminal: nothing is truncated."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def program(name: str) -> str:
    """The shell word that calls a program of this Python environment from the folder of `show_path`."""
    return name if shutil.which(name) else shlex.quote(show_path(Path(sys.executable).with_name(name)))


def show_path(path: Path) -> str:
    """A path as one writes it in the folder that this command was called in."""
    return os.path.relpath(path, os.environ.get(CALLED_IN, "."))


def store_option(uri: str) -> str:
    """The option by which MLflow's own commands find a store in a SQLite file from that folder; empty for a server."""
    scheme, _, path = uri.partition(":///")
    return f" --backend-store-uri {shlex.quote(f'{scheme}:///{show_path(Path(path))}')}" if scheme == "sqlite" else ""


def write_text(path: Path, text: str) -> None:
    """Write a file atomically and print its path."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    err.print(f"wrote {path}")


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(value, ensure_ascii=False))
