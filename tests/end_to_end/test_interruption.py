"""A run that is stopped from outside: it ends soon, leaves no process and no half-written output, and can go on.

Each run of this file resumes the one before, in one checkout. tests/test_signals.py has every way to send a signal.
"""

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from pipeline.signals import CLEAR_LINE
from tests.checkouts import Project
from tests.processes import BIN, PATIENCE, Terminal, processes_in, start, wait_until

TRAINS = " of 2000: loss"  # in the line of an epoch
ENDLESS = ["--set", "train.epochs=2000"]
GOES_ON = "stopped; finished stages are kept, and `tuneline run` resumes from there"


@pytest.fixture(scope="module", autouse=True)
def _prefect_tables(prefect_database: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Temporary servers find the tables of Prefect, which take most of the first start."""
    home = tmp_path_factory.mktemp("prefect")
    shutil.copy(prefect_database, home)
    os.environ["PREFECT_HOME"] = str(home)


def run_in_terminal(project: Project) -> Terminal:
    """Start a run with a temporary Prefect server in a terminal of its own."""
    return Terminal([str(BIN / "tuneline"), "run", *ENDLESS], project.folder)


def assert_stopped(project: Project, terminal: Terminal, *, last_line: str) -> None:
    """The line that says how to go on is the last one, and nothing half-done is left."""
    shown = [line.rpartition(CLEAR_LINE)[2] for line in terminal.output.split("\r\n")]
    assert next(line for line in reversed(shown) if line) == last_line
    for noise in ("Traceback", "Crash", "Finished in state Failed"):
        assert noise not in terminal.output
    assert processes_in(project.folder) == []
    assert not (project.folder / "data/model").exists()
    stages = project.json("status")["stages"]
    assert (stages["tokenize"]["fresh"], stages["train"]["fresh"]) == (True, False)


def test_ctrl_c_in_a_terminal_stops_the_run_with_all_its_processes(project: Project) -> None:
    terminal = run_in_terminal(project)
    terminal.wait_for(TRAINS)
    terminal.type(b"\x03\x03\x03")  # as the impatient do
    assert terminal.wait() == 128 + signal.SIGINT
    assert_stopped(project, terminal, last_line=GOES_ON)


@pytest.mark.slow
def test_the_loss_of_the_temporary_server_stops_the_run(project: Project) -> None:
    terminal = run_in_terminal(project)
    terminal.wait_for(TRAINS)
    for process in processes_in(project.folder):
        if "pipeline.runs.prefect_server" in process.cmdline():
            process.kill()
    assert terminal.wait() == 75
    assert_stopped(project, terminal, last_line=f"the temporary Prefect server has ended (SIGKILL): {GOES_ON}")


@pytest.mark.slow
def test_the_temporary_server_ends_with_a_run_that_is_killed(project: Project) -> None:
    terminal = run_in_terminal(project)
    terminal.wait_for("starting a temporary Prefect server")
    wait_until(lambda: psutil.Process(terminal.process.pid).children(), process=terminal.process)
    terminal.process.kill()
    assert terminal.wait() == -signal.SIGKILL
    wait_until(lambda: processes_in(project.folder) == [])


def test_sigterm_stops_a_run_on_the_users_server(project: Project, prefect_api: str) -> None:
    log = project.folder / "server.log"
    log.write_text("")
    run = start([str(BIN / "tuneline"), "run", *ENDLESS], project.folder, PREFECT_API_URL=prefect_api)
    wait_until(lambda: TRAINS in log.read_text(), log.read_text, run)
    run.send_signal(signal.SIGTERM)
    assert run.wait(PATIENCE) == 128 + signal.SIGTERM
    assert log.read_text().endswith(f"{GOES_ON}\n")
    assert processes_in(project.folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_check_with_its_child(project: Project, number: signal.Signals) -> None:
    corpus = project.folder / "long"
    corpus.mkdir(exist_ok=True)
    (corpus / "all.conll").write_text("Bonn B-LOC\nis O\nquiet O\n\n" * 1_000_000, encoding="utf-8")
    run = start([str(BIN / "tuneline"), "check", "long"], project.folder)

    def child() -> bool:
        return any("check_corpus" in " ".join(process.cmdline()) for process in processes_in(project.folder))

    wait_until(child, process=run)
    run.send_signal(number)
    assert run.wait(PATIENCE) == 128 + number
    assert processes_in(project.folder) == []
