"""Runs on workers in which a machine is killed or a stage fails."""

from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from pipeline.checkout.params_file import apply_settings
from stages.artifacts import file_digest
from tests.processes import wait_until
from tests.workers.team import LONG, STAGES, MakeTeam, Team, find_checkpoints

pytestmark = pytest.mark.slow


def train_uninterrupted(ours: Team) -> str:
    """Train the same project without interruption, with a separate checkpoint folder; return the weights' digest."""
    params = ours.project.folder / "params.yaml"
    params.write_text(apply_settings(params, ["runtime.checkpoint_dir=.checkpoints"]))
    ours.project.command("dvc", "repro", "train")
    return file_digest(ours.project.folder / "data/model/model.safetensors")


def weights_digest(ours: Team, machine: str) -> str:
    (path,) = (ours.folder / machine / "workspaces").glob("*/run-0/data/model/model.safetensors")
    return file_digest(path)


def test_another_worker_resumes_a_training_run_whose_worker_was_killed(
    team: MakeTeam, tmp_path: Path, client: SyncPrefectClient
) -> None:
    shared = tmp_path / "checkpoints"
    ours = team(**LONG, runtime__checkpoint_dir=f'"{shared}"')
    ours.deploy()
    ours.start_worker("box", "cpu", real=True)
    ours.start_worker("card", "gpu", real=True)
    run = ours.start_run()
    wait_until(lambda: find_checkpoints(shared), ours.logs)
    ours.kill("card")
    ours.start_worker("spare", "gpu", real=True)
    expected = train_uninterrupted(ours)  # while the server waits for a heartbeat
    assert ours.wait_for_completion(run) == f"Ran {', '.join(STAGES)}; {ours.name} version 1"
    assert "resuming from the checkpoint after step" in ours.log("spare")
    assert weights_digest(ours, "box") == expected
    assert client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["train-progress"])))


def test_a_user_error_is_not_retried_but_a_timeout_is(team: MakeTeam) -> None:
    ours = team()
    ours.deploy()
    ours.start_worker("box", "cpu")
    state = ours.wait_for_end(ours.start_run(f"model.sha256={'0' * 64}"))
    assert state.name == "UserFault"
    assert state.message == "tokenize stopped on an error in its input"
    assert ours.computed_stages() == ["tokenize"]
    settings = ("orchestration.tokenize.timeout_seconds=1", "orchestration.tokenize.retries=1")
    state = ours.wait_for_end(ours.start_run(*settings))
    assert state.is_failed()
    assert "exceeded timeout of 1.0 second" in (state.message or "")
    # On a busy machine the second may be over before DVC starts.
    assert ours.logs().count("for flow 'tuneline-stage'") == 3
    assert not ours.stage_processes("box")
