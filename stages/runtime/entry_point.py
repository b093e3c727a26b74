"""The command line that all recipes share: `python -m stages.NAME [--params FILE]`."""

import argparse
import atexit
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from stages import params
from stages.errors import TrainingError, TryAgainError, UserError, explain_encoding
from stages.runtime.proxies import bypass_proxy_on_this_machine


def run_recipe(recipe: Callable[[Path], None]) -> None:
    """Call `recipe` with the params file; a UserError becomes a message on stderr and an exit code."""
    name = recipe.__module__ if recipe.__module__ != "__main__" else Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=sys.modules["__main__"].__doc__)
    parser.add_argument("--params", type=Path, default=params.DEFAULT_FILE, metavar="FILE", help="default: params.yaml")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # No telemetry: data goes only to the servers that the user names.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    bypass_proxy_on_this_machine()
    atexit.register(gc.freeze)  # the collection at exit would visit a million objects of torch and MLflow: a second
    try:
        recipe(arguments.params)
    except UserError as error:
        rank = int(os.environ.get("RANK", "0"))  # under torchrun, a fault of the input occurs in every process
        if rank == 0 or isinstance(error, TrainingError | TryAgainError):
            print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except UnicodeEncodeError as error:
        print(f"error: {explain_encoding(error)}", file=sys.stderr)
        sys.exit(UserError.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
