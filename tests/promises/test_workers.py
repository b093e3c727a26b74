"""Pipelines of several tasks on one worker: a real Prefect server, a real clone, and the DVC remote between stages."""

import re
from contextlib import chdir

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from tests.checkouts import Project
from tests.promises.kinds import FOREIGN, KINDS, write_kind
from tests.workers.conftest import client, server, team  # noqa: F401 - fixtures
from tests.workers.team import STAGES, MakeTeam

pytestmark = pytest.mark.slow


def test_one_worker_runs_the_pipelines_of_all_text_tasks(
    team: MakeTeam,  # noqa: F811 - likewise
    client: SyncPrefectClient,  # noqa: F811
) -> None:
    """Entities have tests/workers."""
    ours = team(orchestration__heartbeat_timeout_seconds=600)
    ours.share_pool()
    kinds = {}
    with chdir(ours.project.folder):
        for name in ("pairs", "several numbers"):
            kinds[write_kind(name)] = KINDS[name]
    ours.push()
    for folder in kinds:
        Project(ours.project.folder / folder).json("deploy", **ours.environment)
    ours.start_worker("box", "cpu")
    runs = {folder: ours.start_run(name="-".join(folder.parts)) for folder in kinds}
    for folder, run in runs.items():
        assert ours.wait_for_completion(run) == f"Ran {', '.join(STAGES)}; {folder.name} version 1"
    assert sorted(ours.computed_stages()) == sorted(
        f"{folder}/dvc.yaml:{stage}" for folder in kinds for stage in STAGES
    )
    pages = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["run"])))
    for folder, kind in kinds.items():
        (page,) = [page.data for page in pages if page.flow_run_id == runs[folder]]
        assert folder.name in page
        assert not re.search(FOREIGN[kind.task], page), page
