"""The command line. Each command decides here and acts elsewhere; slow libraries are imported where they are used."""

import os
import sys

import typer

from pipeline.cli import compare, corpora, deploy, gc, models, registry, run
from pipeline.terminal import err
from stages.errors import UserError

app = typer.Typer(
    help="Fine-tune encoders as a reproducible pipeline: tokenize, train, evaluate, register.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(run.commands)
app.add_typer(deploy.commands)
app.add_typer(corpora.commands)
app.add_typer(models.commands)
app.add_typer(registry.commands)
app.add_typer(compare.commands)
app.add_typer(gc.commands)


def main() -> None:
    """The console script: a fault of the user's is one message and exit code 2."""
    # Nothing of ours is sent anywhere but to the servers that the user names.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        app()
    except (UserError, OSError, UnicodeError) as error:
        err.print(f"error: {error}", style="red")
        sys.exit(UserError.exit_code)
