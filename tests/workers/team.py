"""A team whose machines are folders: a Prefect server, git and DVC remotes, and workers with separate folders."""

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
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State
from prefect.states import Cancelling
from prefect.workers.process import ProcessWorker

from pipeline.checkout.params_file import apply_settings
from tests import preloaded
from tests.checkouts import Project, checkout
from tests.processes import BIN, processes_in, start, wait_until

STAGES = ["tokenize", "train", "evaluate", "register"]


@dataclass
class Team:
    """A project and its workers; `name` is its model's name and the prefix of its work pools."""

    name: str
    folder: Path
    project: Project
    client: SyncPrefectClient
    environment: dict[str, str]
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.project.folder, check=True, capture_output=True)

    def push(self, **values: Any) -> None:
        """Set values in params.yaml, by dotted keys with __ for each dot, then commit and push."""
        params = self.project.folder / "params.yaml"
        settings = [f"{key.replace('__', '.')}={value}" for key, value in values.items()]
        params.write_text(apply_settings(params, settings), encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        self.git("push", "--quiet", "origin", "main")

    def share_pool(self) -> None:
        """Have the training run in the pool of the other stages, so that a machine needs one worker; push that."""
        self.push(orchestration__train__pool=f"{self.name}-cpu")

    def deploy(self, *words: str) -> Any:
        return self.project.json("deploy", *words, **self.environment)

    def start_worker(self, machine: str, *pools: str, real: bool = False) -> None:
        """Start a worker for each of the pools; they write only to the folder of their machine.

        Unless `real`, the flows and stages that they run come from the fork server (tests/preloaded).
        """
        programs = {} if real else preloaded.environment() | preloaded.SITE
        home = self.folder / machine
        home.mkdir(exist_ok=True)
        for pool in pools:
            worker = f"{machine}-{pool}"
            command = [str(BIN / "prefect"), "worker", "start", "--pool", f"{self.name}-{pool}", "--name", worker]
            folders = {"PREFECT_HOME": str(home / "prefect"), "TUNELINE_WORKSPACES": str(home / "workspaces")}
            self.workers[worker] = start(command, home, **programs, **self.environment, **folders)

    def kill(self, machine: str) -> None:
        """Kill all processes of a machine, which can then report nothing."""
        for process in processes_in(self.folder / machine):
            process.kill()

    def start_run(self, *settings: str, name: str | None = None) -> UUID:
        """Create a run of a deployment, as a person or an automation would, and return without waiting.

        It is that of the model `name`, by default of the one at the root.
        """
        deployment = self.client.read_deployment_by_name(f"tuneline/{name or self.name}")
        parameters = {**deployment.parameters, "settings": list(settings)}
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

    def cancel(self, run: UUID) -> None:
        self.client.set_flow_run_state(run, Cancelling())

    def wait_for_end(self, run: UUID) -> State[Any]:
        """Wait until a run has a final state, and return it."""

        def final_state() -> State[Any] | None:
            state = self.client.read_flow_run(run).state
            return state if state and state.is_final() else None

        return wait_until(final_state, self.logs, every=1)

    def wait_for_completion(self, run: UUID) -> str:
        """Wait until a run has completed, and return its message; fail if it ends otherwise."""
        state = self.wait_for_end(run)
        assert state.is_completed(), f"{state}\n{self.logs()}"
        return state.message or ""

    def computed_stages(self, *machines: str) -> list[str]:
        """The stages that ran on these machines, on all if none is named; a stage is repeated if it ran repeatedly."""
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


def create_pools(team: Team) -> None:
    """Create the team's work pools before `tuneline deploy` does, such that a worker starts the process of a flow.

    By default it starts a supervisor in an interpreter of its own, which starts that process.
    """
    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = "python -m prefect.engine"
    for pool in ("cpu", "gpu"):
        pool_of_team = WorkPoolCreate(name=f"{team.name}-{pool}", type="process", base_job_template=template)
        team.client.create_work_pool(pool_of_team)


def make_team(
    name: str, folder: Path, pretrained: Path, client: SyncPrefectClient, environment: dict[str, str], **values: Any
) -> Team:
    """Create a project with a bare git remote and a DVC remote in a folder; `values` as in `Team.push`."""
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


MakeTeam = Callable[..., Team]  # with values of params.yaml


def computed_each_once(ours: Team) -> bool:
    return sorted(ours.computed_stages()) == sorted(STAGES)


def wait_for_checkpoint(ours: Team, folder: Path) -> None:
    wait_until(lambda: list(folder.glob("**/step-*")), ours.logs, every=0.5)
