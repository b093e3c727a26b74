"""Stands in for an interpreter or a console script: has the server run it, passes signals on, ends as the child does.

What the server does not know (`python -c`, a module of another package) is run by the real program.
"""

import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

KNOWN_MODULES = ("stages.", "tests.promises.", "dvc", "prefect.engine")
KNOWN_PROGRAMS = ("tuneline", "dvc")
SIZE = struct.Struct("!I")


def main() -> None:
    """Run `program` with these arguments; `bin` is the folder of the real programs."""
    program, folder = Path(sys.argv[0]).name, Path(os.environ["TESTS_REAL_BIN"])
    if program in KNOWN_PROGRAMS:
        arguments = [str(folder / program), *sys.argv[1:]]
    elif program == "python" and sys.argv[1:2] == ["-m"] and sys.argv[2].startswith(KNOWN_MODULES):
        arguments = sys.argv[1:]
    else:
        os.execv(folder / program, [str(folder / program), *sys.argv[1:]])
    body = json.dumps(
        {
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
            "python": str(Path(sys.argv[0]).absolute().with_name("python")),
        }
    ).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["TESTS_FORK_SERVER"])
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _: connection.sendall(bytes([received])))
        socket.send_fds(connection, [SIZE.pack(len(body))], [0, 1, 2])
        connection.sendall(body)
        answer = connection.recv(SIZE.size)
    if not answer:
        sys.exit("the fork server of the tests is gone")
    code = os.waitstatus_to_exitcode(SIZE.unpack(answer)[0])
    if code < 0:
        if -code != signal.SIGKILL:  # which nothing can handle
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


main()
