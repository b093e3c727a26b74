"""Connects to MLflow: which store, and a client for it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stages.artifacts import atomic_write
from stages.errors import RegistryError, first_line
from stages.tracking.git import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
DEFAULT_STORE = f"{SQLITE}mlflow.db"
DATABASE_LOCK = Path(".tuneline/mlflow.lock")


def tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, or else a SQLite file at the root of the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def shown_uri() -> str:
    """The tracking URI without a password, for messages."""
    return without_password(tracking_uri())


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise any failure of MLflow's store or server, which any call of a client may meet, as a RegistryError."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, ImportError) as error:
        raise RegistryError(
            f"MLflow at {shown_uri()} failed: {first_line(error)}. Start it, or set MLFLOW_TRACKING_URI to another."
        ) from error


def connect() -> "MlflowClient":
    """A client of the current store; call it within `translate_errors`. Fail at once if a server does not answer."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's default of 7 can delay a run for minutes
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = tracking_uri()
    if urlsplit(uri).scheme in ("http", "https"):
        import requests

        requests.get(f"{uri.rstrip('/')}/health", timeout=10)
    elif uri.startswith(SQLITE):
        _make_database(Path(uri.removeprefix(SQLITE)))
    elif "://" in uri:
        from sqlalchemy import create_engine

        with create_engine(uri).connect():  # MLflow itself would retry for minutes
            pass
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient()


def _make_database(path: Path) -> None:
    """Create the tables of a SQLite store under a temporary name: MLflow cannot repair half of them after a kill."""
    from mlflow import MlflowClient

    DATABASE_LOCK.parent.mkdir(parents=True, exist_ok=True)
    with DATABASE_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with atomic_write(path) as temporary:
                MlflowClient(f"{SQLITE}{temporary}").search_experiments(max_results=1)
