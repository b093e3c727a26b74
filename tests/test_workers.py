"""Runs on workers: a real Prefect server, worker processes in folders of their own, clones, and a DVC remote."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.conftest import BIN, Project, checkout, free_port, processes_in, start, stop, wait_until_healthy

RUN = "tuneline/tiny-ner"


@dataclass
class Team:
    """A project with its git and DVC remotes, a Prefect server, and the folders of workers."""

    project: Project
    folder: Path
    client: SyncPrefectClient
    environment: dict[str, str]
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def deploy(self, *words: str) -> Any:
        return self.project.json("deploy", *words, **self.environment)

    def start_worker(self, name: str, pool: str, *options: str) -> None:
        """Start a worker for a pool; all that it keeps lies in a folder of its own."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        command = [str(BIN / "prefect"), "worker", "start", "--pool", pool, "--name", name, *options]
        places = {"PREFECT_HOME": str(home / "prefect"), "TUNELINE_WORKSPACES": str(home / "workspaces")}
        self.workers[name] = start(command, home, **self.environment, **places)

    def ask(self, **parameters: Any) -> FlowRun:
        """Ask for a run and return at once."""
        with temporary_settings({PREFECT_API_URL: self.environment["PREFECT_API_URL"]}):
            run = run_deployment(RUN, parameters=parameters, timeout=0)
        assert isinstance(run, FlowRun)
        return run

    def ended(self, run: FlowRun, *, seconds: float = 300) -> FlowRun:
        """The run once it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            now = self.client.read_flow_run(run.id)
            if now.state and now.state.is_final():
                return now
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.5)

    def completed(self, run: FlowRun) -> str:
        """The message of a run that ended well."""
        state = self.ended(run).state
        assert state is not None
        assert state.is_completed(), f"{state}\n{self.logs()}"
        return state.message or ""

    def wait_for(self, happened: Callable[[], Any], *, seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := happened()):
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.2)
        return found

    def stage_runs(self) -> list[FlowRun]:
        """The runs of stages that DVC was asked for, in the order of their start."""
        runs = [run for run in self.client.read_flow_runs() if run.deployment_id is None]
        return sorted(runs, key=lambda run: run.start_time or run.created)

    def executed(self) -> list[str]:
        """The stages that were computed, each as often as it was."""
        return [line for line in self.logs().split("\n") if "Running stage" in line]

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*/server.log")))


def commit(folder: Path, message: str) -> None:
    for words in (["add", "--all"], ["commit", "--quiet", "--message", message], ["push", "--quiet", "origin", "main"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def team(tmp_path: Path, tiny_pretrained: Path) -> Iterator[Team]:
    project = checkout(tmp_path / "desk", tiny_pretrained)
    origin, data = tmp_path / "origin.git", tmp_path / "data"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(origin)], check=True)
    subprocess.run(["git", "branch", "--move", "main"], cwd=project.folder, check=True)
    subprocess.run(["git", "remote", "add", "origin", str(origin)], cwd=project.folder, check=True)
    project.command("dvc", "remote", "add", "--default", "team", str(data))
    commit(project.folder, "a remote for data")
    port = free_port()
    home = tmp_path / "server"
    home.mkdir()
    server = start(
        [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        home,
        PREFECT_HOME=str(home),
        PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="2",
        PREFECT_SERVER_DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS="2",
    )
    environment = {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    try:
        wait_until_healthy(f"{environment['PREFECT_API_URL']}/health", server)
        with (
            temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
            get_client(sync_client=True) as client,
        ):
            team = Team(project, tmp_path, client, environment)
            yield team
        for worker in team.workers.values():
            stop(worker)
    finally:
        stop(server)
        for process in processes_in(tmp_path):
            process.kill()


def test_stages_run_on_the_workers_of_their_pools_and_hand_over_by_the_remote(team: Team) -> None:
    said = team.deploy()
    assert "work pool gpu: new" in said["said"]
    assert all(line.endswith("as it was") for line in team.deploy()["said"])
    team.start_worker("box", "cpu")
    team.start_worker("card", "gpu", "--limit", "1")
    message = team.completed(team.ask())
    assert message == "Ran tokenize, train, evaluate, register: tiny-ner version 1"
    started = time.monotonic()
    again = team.completed(team.ask())
    assert again == "Nothing to do: every stage is fresh; tiny-ner version 1"
    print("nothing to do took", time.monotonic() - started)
    ran = {path.name: path for path in (team.folder / "card/workspaces").glob("*/*-0")}
    assert set(ran) == {"train-0"}
    (lock,) = (team.folder / "box/workspaces").glob("*/run-0/dvc.lock")
    team.project.command("dvc", "repro")
    assert lock.read_bytes() == (team.project.folder / "dvc.lock").read_bytes()
