"""Runs on workers: a real Prefect server, worker processes that share no disk but remotes, real clones."""

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.conftest import BIN, free_port, start, stop, wait_until_healthy
from tests.team import Team, make_team

STAGES = ["tokenize", "train", "evaluate", "register"]
NOTHING = "Nothing to do: every stage is fresh; "

pytestmark = pytest.mark.slow
numbers = itertools.count(1)
MakeTeam = Callable[..., Team]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment by which a Prefect server is found; it plans, and looks for free slots, every two seconds."""
    home = tmp_path_factory.mktemp("server")
    port = free_port()
    process = start(
        [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        home,
        PREFECT_HOME=str(home),
        PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="2",
        PREFECT_SERVER_DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS="2",
    )
    environment = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_WORKER_QUERY_SECONDS": "1"}
    try:
        wait_until_healthy(f"{environment['PREFECT_API_URL']}/health", process)
        yield environment
    finally:
        stop(process)


@pytest.fixture(scope="module")
def client(server: dict[str, str]) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: server["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def team(
    tmp_path: Path, tiny_pretrained: Path, server: dict[str, str], client: SyncPrefectClient
) -> Iterator[MakeTeam]:
    """Makes teams by values of their params.yaml; at the end none of their processes is left."""
    made: list[Team] = []

    def make(**values: Any) -> Team:
        folder = tmp_path / f"team{len(made)}"
        folder.mkdir()
        made.append(make_team(f"ner{next(numbers)}", folder, tiny_pretrained, client, server, **values))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_stages_run_in_their_pools_and_hand_over_by_the_remote(team: MakeTeam, client: SyncPrefectClient) -> None:
    ours = team()
    shown = ours.deploy("--show")["said"]
    assert f"work pool {ours.name}-gpu: new" in shown
    assert ours.deploy()["said"] == shown  # for showing had changed nothing
    assert all(line.endswith("as it was") for line in ours.deploy()["said"])

    ours.start_worker("box", "cpu")
    ours.start_worker("card", "gpu")
    run = ours.ask()
    assert ours.completed(run) == f"Ran {', '.join(STAGES)}; {ours.name} version 1"
    assert ours.computed("box") == ["tokenize", "evaluate", "register"]
    assert ours.computed("card") == ["train"]
    again = ours.ask()
    assert ours.completed(again) == f"{NOTHING}{ours.name} version 1"
    assert len(ours.computed()) == 4

    (lock,) = (ours.folder / "box/workspaces").glob("*/run-0/dvc.lock")
    alone = ours.project
    alone.command("dvc", "repro")
    assert lock.read_bytes() == (alone.folder / "dvc.lock").read_bytes()

    mlflow = MlflowClient(ours.environment["MLFLOW_TRACKING_URI"])
    (version,) = mlflow.search_model_versions(f"name = '{ours.name}'")
    training = client.read_flow_run(mlflow.get_run(version.run_id).data.tags["prefect.flow_run_id"])
    assert training.name == "train"
    pages = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["run"])))
    page = next(page.data for page in pages if page.flow_run_id == again)
    assert version.run_id in page
    assert str(training.id) in page
    assert "| test | all types |" in page


def test_two_runs_of_one_checkout_take_turns(team: MakeTeam) -> None:
    ours = team()
    folder = ours.project.folder
    command = [str(BIN / "tuneline"), "run", "--json"]
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **ours.environment}
    both = [
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    reports = sorted((json.loads(stdout) for stdout, _ in said), key=lambda report: len(report["fresh"]))
    assert [report["executed"] for report in reports] == [STAGES, []]
    assert sum(b"another run is at work in this checkout" in stderr for _, stderr in said) == 1
