"""What each failure of MLflow is taken for: away, so that trying again may help, or refused, or a bug."""

import sqlite3
import ssl
from collections.abc import Callable

import botocore.exceptions
import pytest
import requests
import sqlalchemy.exc
from alembic.util import CommandError
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos import databricks_pb2 as codes
from mlflow.utils.rest_utils import verify_rest_response

from stages.errors import RegistryError, RegistryUnavailableError, TryAgainError, UserError
from stages.tracking.client import translate_errors

SERVER = "https://user:secret@mlflow.example/team"
DATABASE = "postgresql://user:secret@db.example/mlflow"
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed: unable to get local issuer certificate")


def request_failure(cause: Exception, root: Exception | None = None) -> Exception:
    """A request that failed, as MLflow reports it: with the cause as context alone."""
    try:
        try:
            raise cause from root
        except Exception as error:
            raise MlflowException(f"API request to {SERVER}/api failed with exception {error}")  # noqa: B904 - as there
    except MlflowException as failure:
        return failure


def database_failure(words: str, error: type[sqlalchemy.exc.DBAPIError] = sqlalchemy.exc.OperationalError) -> Exception:
    """A failed statement, as MLflow reports it: every one has the same code."""
    failure = MlflowException(words, error_code=codes.TEMPORARILY_UNAVAILABLE)
    failure.__cause__ = error("SELECT 1", None, Exception(words))
    return failure


def answer(status: int, body: str) -> Exception:
    response = requests.Response()
    response.status_code = status
    response._content = body.encode()
    try:
        verify_rest_response(response, "/api/2.0/mlflow/runs/create")
    except MlflowException as error:
        return error
    raise AssertionError


def upload_answer(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} for url: {SERVER}/artifacts", response=response)


def name_of(value: object) -> str:
    return str(value).rpartition(": ")[2].rpartition("/")[2][:30]


@pytest.mark.parametrize(
    ("uri", "failure"),
    [
        (SERVER, request_failure(requests.ConnectionError("x"), ConnectionRefusedError(111, "refused"))),
        (SERVER, request_failure(requests.ConnectionError("x"), OSError(-2, "Name or service not known"))),
        (SERVER, request_failure(requests.ReadTimeout("Read timed out. (read timeout=10)"))),
        (SERVER, request_failure(requests.exceptions.RetryError("too many 503 error responses"))),
        (SERVER, request_failure(requests.exceptions.ProxyError("cannot connect to proxy"), OSError("no such host"))),
        (SERVER, request_failure(requests.exceptions.SSLError("eof"), ssl.SSLEOFError(8, "EOF occurred"))),
        (SERVER, upload_answer(502)),
        (SERVER, answer(429, '{"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}')),
        (SERVER, RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "the database is away"})),
        (SERVER, MlflowException("The following failures occurred while downloading:\nMax retries exceeded with url")),
        (SERVER, botocore.exceptions.EndpointConnectionError(endpoint_url="https://s3.example")),
        (DATABASE, database_failure("connection to server at 127.0.0.1, port 1 failed: Connection refused")),
        (DATABASE, database_failure("server closed the connection unexpectedly", sqlalchemy.exc.InterfaceError)),
        ("sqlite:///mlflow.db", database_failure("database is locked")),
        ("sqlite:///mlflow.db", sqlite3.OperationalError("database is locked")),
    ],
    ids=name_of,
)
def test_what_may_come_back_is_worth_another_try(monkeypatch: pytest.MonkeyPatch, uri: str, failure: Exception) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(RegistryUnavailableError) as raised, translate_errors():
        raise failure
    assert raised.value.exit_code == TryAgainError.exit_code
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "failure", "words"),
    [
        (SERVER, request_failure(requests.exceptions.SSLError("x"), CERTIFICATE), "MLFLOW_TRACKING_SERVER_CERT_PATH"),
        (SERVER, request_failure(requests.exceptions.SSLError("x"), ssl.SSLError(1, "WRONG_VERSION")), "WRONG_VERSION"),
        (SERVER, request_failure(requests.exceptions.InvalidURL("Failed to parse: host")), "Failed to parse: host"),
        (SERVER, request_failure(OSError("Could not find a suitable TLS CA bundle: x.pem")), r"CA bundle: x\.pem\.$"),
        (SERVER, answer(401, "You are not authenticated."), "not authenticated.*MLFLOW_TRACKING_USERNAME"),
        (SERVER, answer(403, '{"error_code": "PERMISSION_DENIED", "message": "Read only"}'), "Read only.*_TOKEN"),
        (SERVER, upload_answer(403), "403.*MLFLOW_TRACKING_USERNAME"),
        (SERVER, upload_answer(413), "413"),
        (SERVER, answer(400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "too long"}'), "too long"),
        (SERVER, RestException({"error_code": "INVALID_STATE", "message": "The run is deleted"}), "run is deleted"),
        (SERVER, MlflowException("No such artifact: 'x'", codes.RESOURCE_DOES_NOT_EXIST), "No such artifact"),
        (SERVER, MlflowException("maintenance mode.\nSet ALLOW_FILE_STORE"), "mode. Set ALLOW_FILE_STORE"),
        (SERVER, botocore.exceptions.NoCredentialsError(), "Unable to locate credentials"),
        (SERVER, OSError(30, "Read-only file system", "mlruns/1"), "Read-only file system: 'mlruns/1'"),
        (DATABASE, database_failure('FATAL: password authentication failed for user "user"'), "authentication failed"),
        (DATABASE, database_failure('FATAL: database "mlflow" does not exist'), "does not exist"),
        (DATABASE, database_failure("value too long", sqlalchemy.exc.DataError), "value too long"),
        (DATABASE, ModuleNotFoundError("No module named 'psycopg'"), "'psycopg'. Install"),
        ("sqlite:///mlflow.db", database_failure("attempt to write a readonly database"), "readonly database"),
        ("sqlite:///mlflow.db", database_failure("no such table: runs"), "no such table"),
        ("sqlite:///mlflow.db", CommandError("Can't locate revision identified by '9f'"), "Can't locate revision"),
    ],
    ids=name_of,
)
def test_what_is_refused_stays_refused_and_is_told_in_mlflows_words(
    monkeypatch: pytest.MonkeyPatch, uri: str, failure: Exception, words: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(RegistryError, match=words) as raised, translate_errors():
        raise failure
    assert not isinstance(raised.value, TryAgainError)
    assert raised.value.exit_code == UserError.exit_code
    assert "Start it" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("bug", [AssertionError, KeyError, TypeError, BrokenPipeError])
def test_a_bug_keeps_its_traceback(bug: Callable[[str], Exception]) -> None:
    with pytest.raises(bug), translate_errors():  # type: ignore[arg-type]  # each is a type of exception
        raise bug("ours")


def test_a_message_of_the_project_is_left_alone() -> None:
    with pytest.raises(UserError, match=r"^there is no demo-ner/3$"), translate_errors():
        raise UserError("there is no demo-ner/3")
