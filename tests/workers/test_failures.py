"""A run on workers of which a machine is killed."""

from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from pipeline.checkout.params_file import apply_settings
from stages.artifacts import file_digest
from tests.workers.team import STAGES, MakeTeam, Team, wait_for_checkpoint

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
    ours = team(train__epochs=30, runtime__checkpoint_seconds=1, runtime__checkpoint_dir=f'"{shared}"')
    ours.deploy()
    ours.start_worker("box", "cpu")
    ours.start_worker("card", "gpu", real=True)
    run = ours.start_run()
    wait_for_checkpoint(ours, shared)
    ours.kill("card")
    ours.start_worker("spare", "gpu", real=True)
    expected = train_uninterrupted(ours)  # while the server waits for a heartbeat
    assert ours.wait_for_completion(run) == f"Ran {', '.join(STAGES)}; {ours.name} version 1"
    assert "resuming from the checkpoint after step" in ours.log("spare")
    assert weights_digest(ours, "box") == expected
    assert client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["train-progress"])))
