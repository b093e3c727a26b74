"""The Prefect server of a run: the one that the user has configured, or else a temporary one, which ends with the run.

Prefect would start a temporary server in the process group of the terminal, where Ctrl-C ends it together with the run,
which then waits for it for minutes. Here it has a session of its own, heeds no signal, and ends when its standard input
is closed, be it because the run was killed.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.signals import ENDING
from pipeline.terminal import err
from stages.errors import TryAgainError, UserError, first_line, without_password
from stages.runtime.proxies import find_proxy

HOST = "127.0.0.1"
GRACE_SECONDS = 2  # that the temporary server has to end by itself
ANSWER_SECONDS = 10  # in which a configured server must answer the first request

_started: list["subprocess.Popen[bytes]"] = []  # one serves all runs of this process: a start takes 10 s and more


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise any failure of the Prefect server as a UserError."""
    import httpx
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_API_URL

    try:
        yield
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        address = PREFECT_API_URL.value()
        place = f"the Prefect server at {without_password(address)}" if address else "the temporary Prefect server"
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        proxy = find_proxy(address) if address else None
        remedy = (
            f"It is asked through {without_password(proxy)}; NO_PROXY lists hosts to be asked without a proxy."
            if proxy
            else "Is it up, and PREFECT_API_URL right?"
        )
        raise UserError(f"{place} failed: {first_line(cause).removesuffix('.')}. {remedy}") from error


def find_server() -> "subprocess.Popen[bytes] | None":
    """Ask the server that the user has configured; without one, return the temporary one, started if need be.

    UserError if it does not answer. A temporary server ends with this process at the latest.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

    if PREFECT_API_URL.value() or not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        ask_server()
        return None
    return _started[0] if _started else _start_temporary_server()


def stop_temporary_server() -> None:
    """End the temporary server, if one runs."""
    for process in _started:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask_server() -> None:
    """Send the configured server one request; UserError if it fails.

    Prefect's retries last for minutes where a proxy answers that it cannot reach the server.
    """
    from prefect import get_client
    from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    once = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_SECONDS}
    with translate_errors(), temporary_settings(once), get_client(sync_client=True) as client:
        error = client.api_healthcheck()
        if error:
            raise error


def _start_temporary_server() -> "subprocess.Popen[bytes]":
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import get_current_settings

    err.print("starting a temporary Prefect server")
    variables = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.runs.prefect_server", str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            start_new_session=True,
            env={**os.environ, **variables, **get_current_settings().to_environment_variables(exclude_unset=True)},
        )
    _started.append(process)
    atexit.register(stop_temporary_server)  # when Prefect's threads have sent what they still have
    _wait_for_answer(process, port)
    server = SubprocessASGIServer()  # the only instance, which Prefect's clients ask for the address
    server.port, server.server_process, server.running = port, process, True
    return process


def _wait_for_answer(process: "subprocess.Popen[bytes]", port: int) -> None:
    import httpx
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

    seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    try:
        # The socket has a queue: the server answers once it has started, and the connection breaks if it ends.
        httpx.get(f"http://{HOST}:{port}/api/health", timeout=seconds, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        process.kill()
        reason = (
            f"gave no answer within {seconds:g} s" if isinstance(error, httpx.TimeoutException) else "did not start"
        )
        raise TryAgainError(
            f"the temporary Prefect server {reason}. Run the command again, or start a server of your own with "
            "`prefect server start` and `export PREFECT_API_URL=http://127.0.0.1:4200/api`."
        ) from error


def serve(listener: socket.socket) -> None:
    """Answer at this socket until the process that has started this one is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app, factory=True, lifespan="on", log_level="error"))

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True
        time.sleep(GRACE_SECONDS)
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    server.run(sockets=[listener])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
