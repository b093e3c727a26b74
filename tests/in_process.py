"""The console script in the process of a test: a command costs what it does, and no start of an interpreter."""

import io
import os
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from unittest import mock

from tests import preloaded


def run_tuneline(words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run `tuneline` in a folder, without its handlers of signals; its own children come from the fork server.

    Not for commands that start a Prefect server or ask one: Prefect reads its settings once, when it is imported.
    """
    from pipeline.cli import main

    _forget_stores(folder.resolve())
    programs = preloaded.environment()
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        chdir(folder),
        mock.patch.dict(os.environ, programs | environment),
        mock.patch.multiple(sys, argv=["tuneline", *words], executable=programs["TESTS_PYTHON"]),
        mock.patch.multiple(main, handle_signals=mock.DEFAULT, release_signals=mock.DEFAULT),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        warnings.catch_warnings(action="ignore"),  # of libraries when they are imported, as an interpreter would
    ):
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int), stderr.getvalue()
    return subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())


@lru_cache(maxsize=1)  # nothing to forget while it is the same folder
def _forget_stores(_folder: Path) -> None:
    """MLflow keeps stores open by their URI; in another folder sqlite:///mlflow.db is another file."""
    from mlflow.store.model_registry import sqlalchemy_store as models
    from mlflow.store.tracking import sqlalchemy_store as runs
    from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
    from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

    for stores in (ModelRegistryStoreRegistry, TrackingStoreRegistry):
        stores._get_store_with_resolved_uri.cache_clear()
    for kind in (models, runs):
        kind.SqlAlchemyStore._engine_map.clear()
