"""Runs on workers: a real Prefect server, real clones, worker processes that exchange data only through remotes."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun

from tests import preloaded
from tests.checkouts import Project
from tests.processes import PATIENCE, wait_until
from tests.workers.team import MakeTeam, computed_each_once

NOTHING = "Nothing to do: every stage is fresh; "
pytestmark = pytest.mark.slow


def test_a_schedule_starts_runs_whose_stages_exchange_data_through_the_remote(
    team: MakeTeam, client: SyncPrefectClient
) -> None:
    ours = team(with_pools=False)
    report = ours.deploy("--show")["said"]
    assert f"work pool {ours.name}-gpu: new" in report
    assert ours.deploy()["said"] == report  # --show has changed nothing
    assert all(line.endswith(": unchanged") for line in ours.deploy()["said"])
    ours.deploy("--cron", "* * * * * */20")
    ours.start_worker("box", "cpu")
    ours.start_worker("card", "gpu")
    deployment = client.read_deployment_by_name(f"tuneline/{ours.name}").id

    def ended_runs() -> list[FlowRun]:
        runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment]
        return [run for run in runs if run.state and run.state.is_final()]

    def idle_run() -> FlowRun | None:
        return next((run for run in ended_runs() if run.state and (run.state.message or "").startswith(NOTHING)), None)

    last = wait_until(idle_run, ours.logs, every=1)
    ours.deploy("--cron", "")
    assert not client.read_deployment_by_name(f"tuneline/{ours.name}").schedules
    assert all(run.auto_scheduled and run.state and run.state.is_completed() for run in ended_runs())
    assert computed_each_once(ours)
    assert ours.computed_stages("box") == ["tokenize", "evaluate", "register"]
    assert ours.computed_stages("card") == ["train"]

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
    """The address of a server with the S3 protocol that has the bucket `team`, and the environment with its keys."""
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


def test_concurrent_runs_exchange_data_through_s3_and_compute_each_stage_once(
    team: MakeTeam, bucket: tuple[str, dict[str, str]]
) -> None:
    address, keys = bucket
    ours = team(orchestration__concurrency_limit=2)
    ours.environment |= keys
    ours.project.command("dvc", "remote", "add", "--force", "--default", "team", "s3://team/data")
    ours.project.command("dvc", "remote", "modify", "team", "endpointurl", address)
    ours.share_pool()
    ours.deploy()
    for machine in ("box", "spare"):
        ours.start_worker(machine, "cpu")
    runs = [ours.start_run(), ours.start_run()]
    for run in runs:
        assert ours.wait_for_completion(run).endswith(f"; {ours.name} version 1")
    assert computed_each_once(ours)
    mlflow = MlflowClient(ours.environment["MLFLOW_TRACKING_URI"])
    assert len(mlflow.search_model_versions(f"name = '{ours.name}'")) == 1


def test_two_runs_of_one_checkout_take_turns(project: Project, server: dict[str, str], empty_store: Path) -> None:
    shutil.copy(empty_store, project.folder)
    environment = {**os.environ, **preloaded.environment(), **server}
    command = [str(shutil.which("tuneline", path=environment["PATH"])), "run", "--stage", "train", "--json"]
    both = [
        subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    reports = sorted((json.loads(stdout) for stdout, _ in outputs), key=lambda report: len(report["fresh"]))
    assert [report["executed"] for report in reports] == [["tokenize", "train"], []]
    assert sum(b"another run is active in this checkout" in stderr for _, stderr in outputs) == 1
