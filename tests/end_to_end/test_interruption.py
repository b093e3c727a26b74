"""A run that is stopped from outside: it ends soon, leaves no process and no half-written output, and can go on."""

import signal

import pytest

from tests.conftest import Project
from tests.processes import BIN, PATIENCE, processes_in, start, wait_until


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_the_run_with_all_its_processes(
    project: Project, prefect_api: str, number: signal.Signals
) -> None:
    epochs = 2000 + number  # another training for each, or the second would go on from the first one's checkpoint
    log = project.folder / "server.log"
    log.unlink(missing_ok=True)
    run = start(
        [str(BIN / "tuneline"), "run", "--set", f"train.epochs={epochs}"], project.folder, PREFECT_API_URL=prefect_api
    )
    wait_until(lambda: f"epoch 1 of {epochs}" in log.read_text(), log.read_text, run)
    run.send_signal(number)
    assert run.wait(PATIENCE) == 128 + signal.SIGINT
    assert "finished stages are kept" in log.read_text()
    assert processes_in(project.folder) == []
    assert not (project.folder / "data/model").exists()
    stages = project.json("status")["stages"]
    assert stages["tokenize"]["fresh"]
    assert not stages["train"]["fresh"]


def test_a_signal_stops_a_check_with_its_child(project: Project) -> None:
    corpus = project.folder / "long"
    corpus.mkdir()
    (corpus / "all.conll").write_text("Bonn B-LOC\nis O\nquiet O\n\n" * 1_000_000, encoding="utf-8")
    run = start([str(BIN / "tuneline"), "check", "long"], project.folder)

    def child() -> bool:
        return any("check_corpus" in " ".join(process.cmdline()) for process in processes_in(project.folder))

    wait_until(child, process=run)
    run.send_signal(signal.SIGTERM)
    assert run.wait(PATIENCE) == 128 + signal.SIGINT
    assert processes_in(project.folder) == []
