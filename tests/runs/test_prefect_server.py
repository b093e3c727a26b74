"""A Prefect server that the user has configured and that does not answer; temporary ones are in tests/end_to_end."""

import http.server
import os
import threading
from collections.abc import Iterator
from unittest import mock

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipeline.runs.prefect_server import ask_server
from stages.errors import UserError
from tests.processes import free_port

URL = "http://prefect.example:4200/api"


class Refusal(http.server.BaseHTTPRequestHandler):
    """A proxy that cannot reach the server, as many answer; Prefect would try again for minutes."""

    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing_proxy() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def error_of(url: str, **environment: str) -> str:
    """What a user is told whose server at this URL does not answer."""
    without = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with (
        mock.patch.dict(os.environ, without | environment, clear=True),
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(UserError) as raised,
    ):
        ask_server()
    return str(raised.value)


def test_a_proxy_that_stands_before_the_server_is_named(refusing_proxy: str) -> None:
    message = error_of(URL, HTTP_PROXY=refusing_proxy)
    assert f"the Prefect server at {URL} failed: " in message
    assert "503" in message
    assert f"It is asked through HTTP_PROXY={refusing_proxy}; NO_PROXY lists hosts" in message


def test_the_password_of_a_proxy_is_not_shown() -> None:
    message = error_of(URL, all_proxy=f"http://anna:secret@127.0.0.1:{free_port()}")
    assert "asked through all_proxy=http://" in message
    assert "secret" not in message


def test_without_a_proxy_the_address_is_doubted() -> None:
    message = error_of(f"http://127.0.0.1:{free_port()}/api")
    assert "Is it up, and PREFECT_API_URL right?" in message
    assert "proxy" not in message.lower()
