"""The command line. A command parses its options and reports; the work is done elsewhere.

Every command pays for what these modules import at the top, so they import slow libraries inside functions.
"""

import atexit
import gc as collector
import os
import sys
from contextlib import suppress

import typer

from pipeline.cli import care, compare, corpora, deploy, models, new, registry, run, suspects, timeline
from pipeline.signals import Stopped, handle_signals, release_signals
from pipeline.terminal import err
from stages.errors import UserError, explain_encoding
from stages.runtime.proxies import bypass_proxy_on_this_machine

app = typer.Typer(
    help="Fine-tune encoders as a reproducible pipeline: tokenize, train, evaluate, register.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(run.commands)
app.add_typer(new.commands)
app.add_typer(deploy.commands)
app.add_typer(corpora.commands)
app.add_typer(models.commands)
app.add_typer(registry.commands)
app.add_typer(compare.commands)
app.add_typer(suspects.commands)
app.add_typer(timeline.commands)
app.add_typer(care.commands)


def main() -> None:
    """Run the console script; a UserError becomes one message on stderr and exit code 2."""
    handle_signals()
    bypass_proxy_on_this_machine()
    # No telemetry: data goes only to the servers that the user names.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    # MLflow's imports alone make half a million objects that live until the end. Visiting them again and again takes
    # two fifths of the time of `tuneline models`, half of that in the collection at exit.
    collector.set_threshold(100_000, 50, 50)
    atexit.register(collector.freeze)
    try:
        app()
    except (UserError, OSError, UnicodeError) as error:
        message = explain_encoding(error) if isinstance(error, UnicodeEncodeError) else error
        err.print(f"error: {message}", style="red")
        sys.exit(UserError.exit_code)
    except Stopped as stopped:
        with suppress(OSError):  # the terminal may be gone
            sys.stdout.flush()
        os._exit(stopped.exit_code)  # an exit would wait for threads of Prefect and MLflow, which wait for servers
    finally:
        release_signals()
