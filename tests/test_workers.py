"""Runs on workers: a real Prefect server, worker processes that share no disk but remotes, real clones."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipeline.overrides import with_values
from stages.artifacts import file_digest
from tests.conftest import BIN, free_port, start, stop, wait_until_healthy
from tests.team import Team, make_team

STAGES = ["tokenize", "train", "evaluate", "register"]
NOTHING = "Nothing to do: every stage is fresh; "
LONG = {"train__epochs": 80, "runtime__checkpoint_seconds": 1}  # a training of half a minute

pytestmark = pytest.mark.slow
numbers = itertools.count(1)
MakeTeam = Callable[..., Team]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment by which a Prefect server is found; it plans every two seconds."""
    home = tmp_path_factory.mktemp("server")
    port = free_port()
    process = start(
        [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        home,
        PREFECT_HOME=str(home),
        PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="2",
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


def computed_each_once(ours: Team) -> bool:
    return sorted(ours.computed()) == sorted(STAGES)


def weights_of_a_run_alone(ours: Team) -> str:
    """The digest of the weights that an undisturbed run of the same project makes, with checkpoints of its own."""
    params = ours.project.folder / "params.yaml"
    params.write_text(with_values(params, ["runtime.checkpoint_dir=.checkpoints"]))
    ours.project.command("dvc", "repro", "train")
    return file_digest(ours.project.folder / "data/model/model.safetensors")


def weights_on(ours: Team, machine: str) -> str:
    (path,) = (ours.folder / machine / "workspaces").glob("*/run-0/data/model/model.safetensors")
    return file_digest(path)


def checkpoints_in(folder: Path) -> list[Path]:
    return list(folder.glob("**/step-*"))


def test_a_schedule_starts_runs_whose_stages_hand_over_by_the_remote(team: MakeTeam, client: SyncPrefectClient) -> None:
    ours = team()
    shown = ours.deploy("--show")["said"]
    assert f"work pool {ours.name}-gpu: new" in shown
    assert ours.deploy()["said"] == shown  # for showing had changed nothing
    assert all(line.endswith("as it was") for line in ours.deploy()["said"])
    ours.deploy("--cron", "* * * * * */20")
    ours.start_worker("box", "cpu")
    ours.start_worker("card", "gpu")
    deployment = client.read_deployment_by_name(f"tuneline/{ours.name}").id

    def ended() -> list[FlowRun]:
        runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment]
        return [run for run in runs if run.state and run.state.is_final()]

    def idle() -> FlowRun | None:
        return next((run for run in ended() if run.state and (run.state.message or "").startswith(NOTHING)), None)

    last = ours.wait_for(idle, seconds=240)
    ours.deploy("--cron", "")
    assert not client.read_deployment_by_name(f"tuneline/{ours.name}").schedules
    assert all(run.auto_scheduled and run.state and run.state.is_completed() for run in ended())
    assert computed_each_once(ours)
    assert ours.computed("box") == ["tokenize", "evaluate", "register"]
    assert ours.computed("card") == ["train"]

    (lock, *_) = (ours.folder / "box/workspaces").glob("*/run-*/dvc.lock")
    ours.project.command("dvc", "repro")
    assert lock.read_bytes() == (ours.project.folder / "dvc.lock").read_bytes()

    mlflow = MlflowClient(ours.environment["MLFLOW_TRACKING_URI"])
    (version,) = mlflow.search_model_versions(f"name = '{ours.name}'")
    training = client.read_flow_run(mlflow.get_run(version.run_id).data.tags["prefect.flow_run_id"])
    assert training.name == "train"
    pages = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["run"])))
    page = next(page.data for page in pages if page.flow_run_id == last.id)
    assert version.run_id in page
    assert str(training.id) in page
    assert "| test | all types |" in page


@pytest.fixture
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a bucket on a server that speaks S3's protocol, and the environment that opens it."""
    from moto.server import ThreadedMotoServer

    keys = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        import boto3

        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="team")
        yield f"http://{host}:{port}", keys
    server.stop()


def test_two_runs_at_once_hand_over_by_s3_and_compute_nothing_twice(
    team: MakeTeam, bucket: tuple[str, dict[str, str]]
) -> None:
    address, keys = bucket
    ours = team(orchestration__at_once=2)
    ours.environment |= keys
    ours.project.command("dvc", "remote", "add", "--force", "--default", "team", "s3://team/data")
    ours.project.command("dvc", "remote", "modify", "team", "endpointurl", address)
    ours.push()
    ours.deploy()
    for machine in ("box", "spare"):
        ours.start_worker(machine, "cpu", "gpu")
    runs = [ours.ask(), ours.ask()]
    for run in runs:
        assert ours.completed(run).endswith(f"; {ours.name} version 1")
    assert computed_each_once(ours)
    mlflow = MlflowClient(ours.environment["MLFLOW_TRACKING_URI"])
    assert len(mlflow.search_model_versions(f"name = '{ours.name}'")) == 1


def test_another_worker_goes_on_where_one_was_killed(team: MakeTeam, tmp_path: Path, client: SyncPrefectClient) -> None:
    shared = tmp_path / "checkpoints"
    ours = team(**LONG, runtime__checkpoint_dir=f'"{shared}"')
    ours.deploy()
    ours.start_worker("box", "cpu")
    ours.start_worker("card", "gpu")
    run = ours.ask()
    ours.wait_for(lambda: checkpoints_in(shared))
    ours.kill("card")
    ours.start_worker("spare", "gpu")
    alone = weights_of_a_run_alone(ours)  # while the server waits for a sign of life
    assert ours.completed(run) == f"Ran {', '.join(STAGES)}; {ours.name} version 1"
    assert "going on from the checkpoint after step" in ours.log("spare")
    assert weights_on(ours, "box") == alone
    assert client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["train-progress"])))


def test_a_cancelled_run_leaves_no_process_and_no_lock_and_the_next_one_resumes(team: MakeTeam) -> None:
    ours = team(**LONG)
    ours.deploy()
    ours.start_worker("box", "cpu", "gpu")
    run = ours.ask()
    workspaces = ours.folder / "box/workspaces"
    ours.wait_for(lambda: checkpoints_in(workspaces))
    ours.cancel(run)
    asked = time.monotonic()
    ours.wait_for(lambda: not ours.stage_processes("box"), seconds=60)
    print(f"no process left {time.monotonic() - asked:.1f} s after the run was cancelled")
    state = ours.ended(run).state
    assert state is not None
    assert state.is_cancelled()
    for lock in workspaces.glob("*/*/.dvc/tmp/rwlock"):
        assert not any(json.loads(lock.read_text()).values())
    assert ours.completed(ours.ask()).startswith("Ran ")
    assert "going on from the checkpoint after step" in ours.log("box")
    assert ours.computed().count("tokenize") == 1


def test_what_is_the_users_fault_is_not_tried_again_but_a_time_limit_is(team: MakeTeam) -> None:
    ours = team()
    ours.deploy()
    ours.start_worker("box", "cpu")
    state = ours.ended(ours.ask(f"model.sha256={'0' * 64}")).state
    assert state is not None
    assert state.name == "UserFault"
    assert state.message == "tokenize stopped on a fault in its input"
    assert ours.computed() == ["tokenize"]
    state = ours.ended(ours.ask("orchestration.tokenize.time_limit=1", "orchestration.tokenize.retries=1")).state
    assert state is not None
    assert state.is_failed()
    assert "exceeded timeout of 1.0 second" in (state.message or "")
    assert ours.computed() == ["tokenize", "tokenize", "tokenize"]
    assert not ours.stage_processes("box")


def test_a_training_outlives_a_server_that_is_away_for_a_while(tmp_path: Path, tiny_pretrained: Path) -> None:
    home, port = tmp_path / "server", free_port()
    home.mkdir()
    command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}/api"
    server = start(command, home, PREFECT_HOME=str(home))
    folder = tmp_path / "team"
    folder.mkdir()
    environment = {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    try:
        wait_until_healthy(f"{url}/health", server)
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            ours = make_team("away", folder, tiny_pretrained, client, environment, **LONG, orchestration__silence=300)
            try:
                ours.deploy()
                ours.start_worker("box", "cpu", "gpu")
                run = ours.ask()
                ours.wait_for(lambda: checkpoints_in(folder / "box"))
                stop(server)
                time.sleep(65)
                server = start(command, home, PREFECT_HOME=str(home))
                wait_until_healthy(f"{url}/health", server)
                assert ours.completed(run) == f"Ran {', '.join(STAGES)}; away version 1"
                assert computed_each_once(ours)
            finally:
                ours.stop()
    finally:
        stop(server)


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
