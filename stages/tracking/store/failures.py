"""What a failure of MLflow means to the user: whether it is away and may come back, or refuses, and the remedy."""

import re
import sqlite3
import ssl
from collections.abc import Iterator

from stages.errors import RegistryError, RegistryUnavailableError, without_password

# MLflow's codes for what passes by itself. The code alone does not tell: it names every failure of a database by the
# last of them, and a server that cannot be reached by INTERNAL_ERROR.
PASSING_CODES = {
    "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
}  # fmt: skip
LOGIN_CODES = {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"}
PASSING_STATUSES = {408, 429, 500, 502, 503, 504}
LOGIN_STATUSES = {401, 403}
# What a database server answers to a client that it will not serve, however often it asks.
REFUSED_BY_DATABASE = re.compile(
    r"authentication failed|access denied|login failed|permission denied|no pg_hba|does not exist|unknown database",
    re.IGNORECASE,
)
# All that is left of the cause where MLflow collects the failures of several files.
LOST_CONNECTION = re.compile(r"Max retries exceeded|Connection aborted|Could not connect|[Tt]imed out|[Tt]imeout on")
LET_THROUGH = {"alembic", "azure", "boto3", "botocore", "google"}  # libraries whose errors MLflow does not translate
SHOWN_CHARACTERS = 1000  # of MLflow's words

START_IT = "Start it, or set MLFLOW_TRACKING_URI to another."
READ_LOG = "The log of its server says why."
LOG_IN = "A login is set by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or by MLFLOW_TRACKING_TOKEN."
INSTALL = (
    "Install the package that has this module. For PostgreSQL: `pip install --constraint constraints.txt "
    "psycopg2-binary`, and the URI begins with postgresql+psycopg2://."
)
TRUST = (
    "If your company has a certificate authority of its own, set MLFLOW_TRACKING_SERVER_CERT_PATH to the file with its "
    "certificate."
)
PROXY = "The proxy that HTTP_PROXY or HTTPS_PROXY names did not connect; NO_PROXY lists hosts to reach without it."


def explain(error: Exception, uri: str) -> RegistryError | None:
    """The error to raise for a failure of the store at `uri`, a RegistryUnavailableError only if it may come back.

    None for what is no failure of a store, but a bug.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, SQLAlchemyError | sqlite3.Error):
            return _explain_database(cause, uri)
        if isinstance(cause, RequestException):
            return _explain_request(cause, causes[-1], uri)
    is_let_through = type(error).__module__.partition(".")[0] in LET_THROUGH
    is_of_store = is_let_through or isinstance(error, MlflowException | OSError | ImportError)
    if not is_of_store or isinstance(error, BrokenPipeError):  # which is one of our own output
        return None
    return _explain_code(error, uri)


def _explain_code(error: Exception, uri: str) -> RegistryError:
    """Explain a failure without a cause, by MLflow's code where it has one."""
    from mlflow.exceptions import MlflowException

    code = error.error_code if isinstance(error, MlflowException) else ""
    if code in PASSING_CODES:
        return RegistryUnavailableError(_message(uri, error, READ_LOG))
    if LOST_CONNECTION.search(str(error)):
        return RegistryUnavailableError(_message(uri, error, START_IT))
    remedy = LOG_IN if code in LOGIN_CODES else INSTALL if isinstance(error, ImportError) else ""
    return RegistryError(_message(uri, error, remedy))


def _explain_database(error: Exception, uri: str) -> RegistryError:
    from sqlalchemy.exc import InterfaceError, OperationalError

    if uri.startswith("sqlite"):
        if "database is locked" in str(error):
            return RegistryUnavailableError(_message(uri, error, "Another process is writing to it."))
    elif isinstance(error, OperationalError | InterfaceError) and not REFUSED_BY_DATABASE.search(str(error)):
        return RegistryUnavailableError(_message(uri, error, START_IT))
    return RegistryError(_message(uri, error))


def _explain_request(error: Exception, root: BaseException, uri: str) -> RegistryError:
    """Explain a failed HTTP request; `root` is the first of its causes, which has the system's own words."""
    from requests import exceptions

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, exceptions.RetryError) or status in PASSING_STATUSES:
        return RegistryUnavailableError(_message(uri, error, READ_LOG))
    if isinstance(error, exceptions.ProxyError):
        return RegistryUnavailableError(_message(uri, root, PROXY))
    if isinstance(root, ssl.SSLError) and not isinstance(root, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return RegistryError(_message(uri, root, TRUST if isinstance(root, ssl.SSLCertVerificationError) else ""))
    if isinstance(error, exceptions.ConnectionError | exceptions.Timeout | exceptions.ChunkedEncodingError):
        return RegistryUnavailableError(_message(uri, root, START_IT))
    return RegistryError(_message(uri, error, LOG_IN if status in LOGIN_STATUSES else ""))


def _message(uri: str, reason: BaseException, remedy: str = "") -> str:
    """The words of an error on one line, without a password, and the remedy."""
    words = " ".join(without_password(str(reason)).split()) or type(reason).__name__
    words = re.sub(r" \(Background on this error at: \S+\)", "", words)  # SQLAlchemy's advice to programmers
    if len(words) > SHOWN_CHARACTERS:
        words = words[:SHOWN_CHARACTERS] + " …"
    return f"MLflow at {without_password(uri)} failed: {words.removesuffix('.')}. {remedy}".rstrip()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it; MLflow keeps the cause of a failed request only as its context."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
