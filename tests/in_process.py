"""The console script in the process of a test: a command costs what it does, and no start of an interpreter."""

import io
import os
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from tests import preloaded


def run_tuneline(words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run `tuneline` in a folder, without its handlers of signals; its own children come from the fork server.

    Not for commands that start a Prefect server or ask one: Prefect reads its settings once, when it is imported.
    """
    from pipeline.cli import main

    programs = preloaded.environment()
    printed, told = io.StringIO(), io.StringIO()
    with (
        chdir(folder),
        mock.patch.dict(os.environ, programs | environment),
        mock.patch.multiple(sys, argv=["tuneline", *words], executable=programs["TESTS_PYTHON"]),
        mock.patch.multiple(main, handle_signals=mock.DEFAULT, release_signals=mock.DEFAULT),
        redirect_stdout(printed),
        redirect_stderr(told),
        warnings.catch_warnings(action="ignore"),  # of libraries when they are imported, as an interpreter would
    ):
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int), told.getvalue()
    return subprocess.CompletedProcess(words, code, printed.getvalue(), told.getvalue())
