"""Connects to MLflow: which store, and a client for it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stages.artifacts import atomic_write
from stages.errors import RegistryError, RegistryUnavailableError, UserError, without_password
from stages.runtime.project import project_folder
from stages.tracking.store.failures import LOGIN_STATUSES, explain
from stages.tracking.store.moved import update_locations

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from requests import Response

SQLITE = "sqlite:///"
DEFAULT_STORE = f"{SQLITE}mlflow.db"
DATABASE_LOCK = Path(".tuneline/mlflow.lock")
SERVERS = ("http", "https")
ANSWER_SECONDS = 10  # in which a server must answer the first request
FIRST_REQUEST = "/api/2.0/mlflow/experiments/search"


def tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, or else a SQLite file at the root of the project."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    return f"{SQLITE}{project_folder() / uri.removeprefix(SQLITE)}" if uri.startswith(SQLITE) else uri


def shown_uri() -> str:
    """The tracking URI without a password, for messages."""
    return without_password(tracking_uri())


def database_file(uri: str) -> Path | None:
    """The file of a SQLite store; None if the store is of another kind."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]) if uri.startswith(SQLITE) else None


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise any failure of MLflow's store or server, which any call of a client may meet, as a RegistryError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        explained = explain(error, tracking_uri())
        if explained is None:  # a bug
            raise
        raise explained from error


def is_away(error: Exception) -> bool:
    """Whether a failure says nothing about what the store holds: MLflow did not answer."""
    return isinstance(explain(error, tracking_uri()), RegistryUnavailableError)


def connect() -> "MlflowClient":
    """A client of the current store; call it within `translate_errors`. Fail at once if a server does not answer."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's default of 7 can delay a run for minutes
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # MLflow would warn in 40 lines where git is not installed
    import mlflow
    from mlflow.store.db.db_types import DATABASE_ENGINES

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = tracking_uri()
    scheme = uri.partition("://")[0].lower()
    with chdir(project_folder()):  # a new store has its artifacts in the working directory
        if scheme in SERVERS:
            _ask_server(uri)
        elif scheme.partition("+")[0] in DATABASE_ENGINES:
            _open_database(uri)
        mlflow.set_tracking_uri(uri)
        return mlflow.MlflowClient()


def _ask_server(uri: str) -> None:
    """Send a server one request, with MLflow's settings for logins and certificates, but without its retries.

    RegistryError if what answers is no MLflow server, such as a login page or another path of its host.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    response = http_request(
        get_default_host_creds(uri),
        FIRST_REQUEST,
        "POST",
        json={"max_results": 1},
        max_retries=0,
        timeout=ANSWER_SECONDS,
    )
    if response.status_code == 404 or not (_is_json(response) or response.status_code in LOGIN_STATUSES):
        kind = response.headers.get("Content-Type", "").partition(";")[0] or "nothing"
        raise RegistryError(
            f"what answers at {shown_uri()} is not MLflow: {FIRST_REQUEST} below it gives status "
            f"{response.status_code} and {kind}, from {without_password(response.url).partition('?')[0]}. "
            "MLFLOW_TRACKING_URI must be the address of MLflow's own page, with its path. If a login page stands "
            "before it, set MLFLOW_TRACKING_TOKEN."
        )
    verify_rest_response(response, FIRST_REQUEST)


def _is_json(response: "Response") -> bool:
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _open_database(uri: str) -> None:
    """Connect to a database once, where MLflow itself would retry for minutes; a SQLite store is made first."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    database = database_file(uri)
    if database:
        _make_database(database)
    with create_engine(uri, poolclass=NullPool).connect():
        pass
    if database:
        update_locations(database)


def _make_database(path: Path) -> None:
    """Create the tables of a SQLite store under a temporary name: MLflow cannot repair half of them after a kill."""
    from mlflow import MlflowClient

    if path.exists():
        return
    DATABASE_LOCK.parent.mkdir(parents=True, exist_ok=True)
    with DATABASE_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with atomic_write(path) as temporary:
                temporary.touch()  # at once an error if the folder is not writable
                MlflowClient(f"{SQLITE}{temporary}").search_experiments(max_results=1)
