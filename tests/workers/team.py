"""A team's machines on one: a Prefect server, git and DVC remotes, and workers with folders of their own."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from pipeline.checkout.params_file import with_values
from tests.conftest import Project, checkout
from tests.processes import BIN, processes_in, start, wait_until

STAGES = ["tokenize", "train", "evaluate", "register"]


@dataclass
class Team:
    """A project and its workers; `name` is that of its model, and of its work pools' beginnings."""

    name: str
    folder: Path
    project: Project
    client: SyncPrefectClient
    environment: dict[str, str]
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.project.folder, check=True, capture_output=True)

    def push(self, **values: Any) -> None:
        """Set values of params.yaml by their dotted keys with __ for the dots, commit, and push."""
        params = self.project.folder / "params.yaml"
        settings = [f"{key.replace('__', '.')}={value}" for key, value in values.items()]
        params.write_text(with_values(params, settings), encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        self.git("push", "--quiet", "origin", "main")

    def deploy(self, *words: str) -> Any:
        return self.project.json("deploy", *words, **self.environment)

    def start_worker(self, machine: str, *pools: str) -> None:
        """Start a worker for each of the pools; all that they keep lies in the folder of their machine."""
        home = self.folder / machine
        home.mkdir(exist_ok=True)
        for pool in pools:
            worker = f"{machine}-{pool}"
            command = [str(BIN / "prefect"), "worker", "start", "--pool", f"{self.name}-{pool}", "--name", worker]
            places = {"PREFECT_HOME": str(home / "prefect"), "TUNELINE_WORKSPACES": str(home / "workspaces")}
            self.workers[worker] = start(command, home, **self.environment, **places)

    def kill(self, machine: str) -> None:
        """The machine is gone: no process of it has time to say anything."""
        for process in processes_in(self.folder / machine):
            process.kill()

    def ask(self, *settings: str) -> UUID:
        """Ask for a run, as a person or an automation would, and return at once."""
        deployment = self.client.read_deployment_by_name(f"tuneline/{self.name}")
        parameters = {**deployment.parameters, "settings": list(settings)}
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

    def cancel(self, run: UUID) -> None:
        self.client.set_flow_run_state(run, Cancelling())

    def ended(self, run: UUID) -> FlowRun:
        def final() -> FlowRun | None:
            now = self.client.read_flow_run(run)
            return now if now.state and now.state.is_final() else None

        return wait_until(final, self.logs, every=1)

    def completed(self, run: UUID) -> str:
        """The message of a run that ends well."""
        state = self.ended(run).state
        assert state is not None
        assert state.is_completed(), f"{state}\n{self.logs()}"
        return state.message or ""

    def computed(self, *machines: str) -> list[str]:
        """The stages that were computed on these machines, on all if none is named, each as often as it was."""
        logs = "".join(self.log(machine) for machine in machines) if machines else self.logs()
        return [line.rpartition("'")[0].rpartition("'")[2] for line in logs.split("\n") if "Running stage '" in line]

    def log(self, machine: str) -> str:
        path = self.folder / machine / "server.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def logs(self) -> str:
        return "\n".join(self.log(path.parent.name) for path in sorted(self.folder.glob("*/server.log")))

    def stage_processes(self, machine: str) -> list[psutil.Process]:
        """The processes of stages and flows on a machine: all but the workers."""
        workers = {process.pid for process in self.workers.values()}
        return [process for process in processes_in(self.folder / machine) if process.pid not in workers]

    def stop(self) -> None:
        for worker in self.workers.values():
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGTERM)
        for worker in self.workers.values():
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
        for process in processes_in(self.folder):
            process.kill()


def make_team(
    name: str, folder: Path, pretrained: Path, client: SyncPrefectClient, environment: dict[str, str], **values: Any
) -> Team:
    """A project with a bare origin and a DVC remote on a folder; `values` as in `Team.push`."""
    project = checkout(folder / "desk", pretrained)
    team = Team(name, folder, project, client, environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"})
    origin = folder / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(origin)], check=True)
    team.git("branch", "--move", "main")
    team.git("remote", "add", "origin", str(origin))
    project.command("dvc", "remote", "add", "--default", "team", str(folder / "data"))
    pools = {f"orchestration__{stage}__pool": f"{name}-cpu" for stage in ("tokenize", "evaluate", "register")}
    pools |= {"orchestration__pool": f"{name}-cpu", "orchestration__train__pool": f"{name}-gpu"}
    quick = {"orchestration__retry_delay": 1, "orchestration__heartbeat_timeout_seconds": 90}
    team.push(register__name=name, **(pools | quick | values))
    return team


MakeTeam = Callable[..., Team]  # by values of params.yaml


def computed_each_once(ours: Team) -> bool:
    return sorted(ours.computed()) == sorted(STAGES)
