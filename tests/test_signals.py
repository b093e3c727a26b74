"""A signal ends or suspends a command, in every way in which people send one; whole runs are in tests/end_to_end."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.checkouts import ROOT
from tests.processes import Terminal, wait_until

# A command whose child has a process group of its own, as DVC's has. $FIRST is run before it, $WORK instead of waiting.
PROGRAM = """
import os, signal, subprocess, time
from pipeline import signals
from pipeline.cli import main

def command():
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with signals.exit_on_interrupt("stopped; go on with `more`"), signals.ends_with_command(child):
        print(child.pid, "works", flush=True)
        exec(os.environ.get("WORK", "child.wait()"))

exec(os.environ.get("FIRST", ""))
main.app = command
main.main()
"""


def start_command(**environment: str) -> tuple[Terminal, psutil.Process]:
    """Start the program in a terminal of its own; also return its child."""
    terminal = Terminal([sys.executable, "-c", PROGRAM], ROOT, **environment)
    terminal.wait_for("works")
    return terminal, psutil.Process(int(terminal.output.split()[0]))


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("act", "number"),
    [
        pytest.param(lambda terminal: terminal.type(b"\x03"), signal.SIGINT, id="ctrl-c"),
        pytest.param(lambda terminal: terminal.type(b"\x03\x03\x03"), signal.SIGINT, id="ctrl-c thrice"),
        pytest.param(lambda terminal: terminal.type(b"\x1c"), signal.SIGQUIT, id="ctrl-backslash"),
        pytest.param(lambda terminal: terminal.close(), signal.SIGHUP, id="closed terminal"),
        pytest.param(lambda terminal: terminal.process.terminate(), signal.SIGTERM, id="kill"),
        pytest.param(lambda terminal: os.killpg(terminal.process.pid, signal.SIGTERM), signal.SIGTERM, id="kill group"),
    ],
)
def test_a_signal_ends_a_command_with_its_children_and_one_line(
    act: Callable[[Terminal], None], number: signal.Signals
) -> None:
    terminal, child = start_command()
    act(terminal)
    assert terminal.wait() == 128 + number
    assert not is_alive(child)
    if number != signal.SIGHUP:
        lines = [line for line in terminal.output.splitlines() if line.strip() not in ("", "^C", "^C^C^C", "^\\")]
        assert len(lines) == 2
        assert lines[1].endswith("stopped; go on with `more`")


@pytest.mark.parametrize(
    "environment",
    [
        # Ignored signals are inherited.
        pytest.param(
            {"FIRST": "signals.STOP_SECONDS = 0.5; signal.signal(signal.SIGTERM, signal.SIG_IGN)"}, id="a deaf child"
        ),
        pytest.param(
            {"FIRST": "signals.LIMIT_SECONDS = 0.1", "WORK": "try: child.wait()\nexcept BaseException: child.wait()"},
            id="a library that drops exceptions",
        ),
    ],
)
def test_nothing_keeps_a_command_from_ending(environment: dict[str, str]) -> None:
    terminal, child = start_command(**environment)
    terminal.type(b"\x03")
    assert terminal.wait() == 128 + signal.SIGINT
    assert not is_alive(child)


def test_ctrl_c_while_a_command_exits_shows_no_traceback() -> None:
    work = "child.kill(); child.wait(); print('exits', flush=True)"
    first = "import atexit; atexit.register(time.sleep, 1000)"
    terminal = Terminal([sys.executable, "-c", PROGRAM], ROOT, FIRST=first, WORK=work)
    terminal.wait_for("exits")
    wait_until(lambda: terminal.type(b"\x03") or terminal.process.poll() is not None)
    assert terminal.wait() in (-signal.SIGINT, 128 + signal.SIGINT)
    assert "Traceback" not in terminal.output


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=["nohup", "shell's &"])
def test_a_signal_that_was_ignored_from_the_start_stays_ignored(number: signal.Signals) -> None:
    terminal, _ = start_command(FIRST=f"signal.signal({number}, signal.SIG_IGN)")
    terminal.process.send_signal(number)
    terminal.process.terminate()
    assert terminal.wait() == 128 + signal.SIGTERM


def test_ctrl_z_suspends_a_command_with_its_children_until_it_is_continued(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    shell = Terminal(["bash", "--norc", "--noediting", "-i"], ROOT)
    shell.type(f"{sys.executable} {tmp_path}/program.py\n".encode())
    shell.wait_for(" works")
    child = psutil.Process(int(shell.output[: shell.output.index(" works")].split()[-1]))
    shell.type(b"\x1a")
    shell.wait_for("Stopped")
    assert {child.status(), child.parent().status()} == {psutil.STATUS_STOPPED}  # type: ignore[union-attr]  # it lives
    shell.type(b"fg\n")
    wait_until(lambda: child.status() == psutil.STATUS_SLEEPING, lambda: shell.output)
    shell.type(b"\x03")
    shell.wait_for("stopped; go on with `more`")
    shell.type(b"exit $?\n")
    assert shell.wait() == 128 + signal.SIGINT
    assert not is_alive(child)
