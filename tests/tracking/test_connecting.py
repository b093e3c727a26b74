"""Connecting to stores: real servers behind TLS, logins and paths, whatever else answers, and other kinds of stores."""

import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mlflow.entities.model_registry import ModelVersion

from pipeline.registry.versions import read_scores
from stages.errors import RegistryError, RegistryUnavailableError, TryAgainError, UserError
from stages.tracking.client import connect, translate_errors
from stages.tracking.event_log import EventLog
from stages.tracking.sync import sync_event_log
from stages.tracking.version_artifacts import read_lineage_record

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str, str]]  # status, type and body
EMPTY = (200, "application/json", "{}")
PAGE = (200, "text/html", "<html>Sign in</html>")


class Server:
    """An HTTP server that answers each request by `answer`, and remembers them."""

    def __init__(self, answer: Answer, certificate: Path | None) -> None:
        self.requests: list[BaseHTTPRequestHandler] = []
        remembered = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                remembered.append(self)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, kind, body = answer(self)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", "/login?state=secret")
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.uri = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers; the last one is the one that MLFLOW_TRACKING_URI names."""
    servers: list[Server] = []
    monkeypatch.chdir(tmp_path)

    def start(answer: Answer, *, certificate: Path | None = None, path: str = "") -> Server:
        servers.append(Server(answer, certificate))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{servers[-1].uri}{path}")
        return servers[-1]

    yield start
    for each in servers:
        each.server.shutdown()
        each.server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a private key and the certificate of a company's own authority for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "company")])
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(host, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signed = builder.sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "company.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


def failure_of_connecting() -> UserError:
    with pytest.raises(UserError) as raised, translate_errors():
        connect()
    return raised.value


def test_a_certificate_of_a_company_is_trusted_by_mlflows_setting(
    serve: Callable[..., Server], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(lambda _: EMPTY, certificate=certificate)
    refusal = failure_of_connecting()
    assert not isinstance(refusal, TryAgainError)
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in str(refusal)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    assert connect().search_experiments() == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_any_certificate_is_accepted_if_mlflow_is_told_so(
    serve: Callable[..., Server], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(lambda _: EMPTY, certificate=certificate)
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert connect().search_experiments() == []


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "pass"}, "Basic YW5uOnBhc3M="),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
    ],
    ids=["password", "token"],
)
def test_a_login_is_sent_with_every_request_and_a_missing_one_is_no_reason_to_try_again(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], header: str
) -> None:
    denied = (401, "text/plain", "You are not authenticated.")
    server = serve(lambda request: EMPTY if request.headers["Authorization"] == header else denied)
    refusal = failure_of_connecting()
    assert not isinstance(refusal, TryAgainError)
    assert "You are not authenticated" in str(refusal)
    assert "MLFLOW_TRACKING_TOKEN" in str(refusal)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    connect()
    assert server.requests[-1].headers["Authorization"] == header


def test_a_server_below_a_path_needs_no_other_path_of_its_host(serve: Callable[..., Server]) -> None:
    absent = (404, "text/html", "<html>Not Found</html>")
    serve(lambda request: EMPTY if request.path.startswith("/mlflow/api/") else absent, path="/mlflow")
    assert connect().search_experiments() == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: PAGE,
        lambda request: PAGE if request.path.startswith("/login") else (302, "text/html", ""),
        lambda _: (404, "text/html", "<html>Not Found</html>"),
        lambda _: (404, "application/json", '{"detail": "Not Found"}'),
        lambda _: (400, "text/html", "The plain HTTP request was sent to HTTPS port"),
    ],
    ids=["page", "redirect to a login page", "no such path", "another service", "http to https"],
)
def test_what_is_not_mlflow_is_told_from_a_server_that_is_away(serve: Callable[..., Server], answer: Answer) -> None:
    server = serve(answer)
    refusal = failure_of_connecting()
    assert isinstance(refusal, RegistryError)
    assert not isinstance(refusal, TryAgainError)
    assert f"what answers at {server.uri} is not MLflow" in str(refusal)
    assert "html>" not in str(refusal)
    assert "secret" not in str(refusal)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_fails_is_asked_once_and_may_be_tried_again(serve: Callable[..., Server], status: int) -> None:
    server = serve(lambda _: (status, "text/html", "<html>Bad Gateway</html>"))
    assert isinstance(failure_of_connecting(), RegistryUnavailableError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("prefix", ["file://", ""], ids=["file:", "path"])
def test_a_store_of_files_is_left_to_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{prefix}{tmp_path / 'files'}")
    refusal = failure_of_connecting()
    assert not isinstance(refusal, TryAgainError)
    assert "`MLFLOW_ALLOW_FILE_STORE=true`" in str(refusal)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_store_of_files_works_once_mlflow_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path / 'allowed'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert [each.name for each in connect().search_experiments()] == ["Default"]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("databricks", "Databricks"),
        ("databricks://profile", "Databricks"),
        ("nonsense://host/store", "unsupported URI"),
        ("localhost:5000", "unsupported URI"),
        ("http://[host", "not a valid host"),
        ("mysql+nodriver://host/mlflow", "nodriver"),
        ("sqlite:////dev/null/mlflow.db", "cannot write /dev/null/mlflow.db"),
        ("sqlite:////dev", "unable to open database file"),
    ],
)
def test_a_uri_that_is_no_store_is_told_at_once_in_mlflows_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=words) as raised, translate_errors():
        connect().search_registered_models()
    assert not isinstance(raised.value, TryAgainError)


def test_a_user_who_may_only_read_is_told_so_when_a_run_is_synced(serve: Callable[..., Server]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, str]:
        if "get-by-name" in request.path:
            return (404, "application/json", '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}')
        if request.path.endswith("create"):
            return (403, "application/json", '{"error_code": "PERMISSION_DENIED", "message": "You may only read"}')
        return EMPTY

    serve(answer)
    event_log = EventLog("ab" * 32)
    event_log.begin({}, {})
    with pytest.raises(RegistryError, match="You may only read") as refusal:
        sync_event_log(event_log)
    assert not isinstance(refusal.value, TryAgainError)


def test_a_server_that_goes_away_says_nothing_about_what_it_holds(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = serve(lambda request: EMPTY if request.path.endswith("experiments/search") else (503, "text/html", "busy"))
    version = ModelVersion("demo-ner", "3", creation_timestamp=0, run_id="a" * 32)
    with pytest.raises(RegistryUnavailableError, match=server.uri), translate_errors():
        read_lineage_record(connect(), version)
    with pytest.raises(RegistryUnavailableError, match=server.uri), translate_errors():
        read_scores(connect(), version)
