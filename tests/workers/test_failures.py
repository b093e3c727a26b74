"""Runs on workers of which something fails: a machine, a stage, a server, or the user's patience."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipeline.checkout.params_file import with_values
from stages.artifacts import file_digest
from tests.processes import free_port, prefect_server, wait_until
from tests.workers.team import STAGES, MakeTeam, Team, computed_each_once, make_team

LONG = {"train__epochs": 80, "runtime__checkpoint_seconds": 1}  # a training of half a minute

pytestmark = pytest.mark.slow


def checkpoints_in(folder: Path) -> list[Path]:
    return list(folder.glob("**/step-*"))


def weights_of_a_run_alone(ours: Team) -> str:
    """The digest of the weights that an undisturbed run of the same project makes, with checkpoints of its own."""
    params = ours.project.folder / "params.yaml"
    params.write_text(with_values(params, ["runtime.checkpoint_dir=.checkpoints"]))
    ours.project.command("dvc", "repro", "train")
    return file_digest(ours.project.folder / "data/model/model.safetensors")


def weights_on(ours: Team, machine: str) -> str:
    (path,) = (ours.folder / machine / "workspaces").glob("*/run-0/data/model/model.safetensors")
    return file_digest(path)


def test_another_worker_goes_on_where_one_was_killed(team: MakeTeam, tmp_path: Path, client: SyncPrefectClient) -> None:
    shared = tmp_path / "checkpoints"
    ours = team(**LONG, runtime__checkpoint_dir=f'"{shared}"')
    ours.deploy()
    ours.start_worker("box", "cpu")
    ours.start_worker("card", "gpu")
    run = ours.ask()
    wait_until(lambda: checkpoints_in(shared), ours.logs)
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
    wait_until(lambda: checkpoints_in(workspaces), ours.logs)
    ours.cancel(run)
    asked = time.monotonic()
    wait_until(lambda: not ours.stage_processes("box"), ours.logs)
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
    state = ours.ended(ours.ask("orchestration.tokenize.timeout_seconds=1", "orchestration.tokenize.retries=1")).state
    assert state is not None
    assert state.is_failed()
    assert "exceeded timeout of 1.0 second" in (state.message or "")
    # On a busy machine the second may be over before DVC starts.
    assert ours.logs().count("for flow 'tuneline-stage'") == 3
    assert not ours.stage_processes("box")


def test_a_training_outlives_a_server_that_is_away_for_a_while(tmp_path: Path, tiny_pretrained: Path) -> None:
    home, folder, port = tmp_path / "server", tmp_path / "team", free_port()
    home.mkdir()
    folder.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        url = server.enter_context(prefect_server(home, port))
        stack.enter_context(temporary_settings({PREFECT_API_URL: url}))
        client = stack.enter_context(get_client(sync_client=True))
        environment = {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "3"}
        ours = make_team(
            "away", folder, tiny_pretrained, client, environment, **LONG, orchestration__heartbeat_timeout_seconds=300
        )
        stack.callback(ours.stop)
        ours.deploy()
        ours.start_worker("box", "cpu", "gpu")
        run = ours.ask()
        wait_until(lambda: checkpoints_in(folder / "box"), ours.logs)
        server.close()
        time.sleep(65)
        server.enter_context(prefect_server(home, port))
        assert ours.completed(run) == f"Ran {', '.join(STAGES)}; away version 1"
        assert computed_each_once(ours)
