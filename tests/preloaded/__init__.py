"""Programs of this project that start in a fraction of the time: see server.py."""

import atexit
import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
PROGRAMS = ("python", "tuneline", "dvc")
SITE = {"PYTHONPATH": str(HERE / "site")}  # for a real interpreter whose own children are to be preloaded


@cache
def environment() -> dict[str, str]:
    """Start the server of this process, once; what a command's environment needs to find it and the programs."""
    if not hasattr(os, "pidfd_open"):  # elsewhere than on Linux real interpreters do the same, only slower
        return {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "TESTS_PYTHON": sys.executable}
    folder = tempfile.TemporaryDirectory(prefix="preloaded-")
    place = Path(folder.name)
    for program in PROGRAMS:
        path = place / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text(encoding='utf-8')}", encoding="utf-8")
        path.chmod(0o755)
    address = place / "socket"
    # A single thread of BLAS: a process that forks had better have no other.
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(address)], env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    )
    atexit.register(folder.cleanup)
    atexit.register(server.terminate)
    while not address.exists():
        assert server.poll() is None, "the fork server did not start"
        time.sleep(0.05)
    return {
        "PATH": f"{place / 'bin'}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}",
        "TESTS_FORK_SERVER": str(address),
        "TESTS_PYTHON": str(place / "bin/python"),
        "TESTS_REAL_BIN": str(BIN),
    }
