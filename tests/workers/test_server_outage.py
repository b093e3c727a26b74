"""A run on workers whose Prefect server goes away and comes back."""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.processes import free_port, prefect_server
from tests.workers.team import STAGES, computed_each_once, create_pools, make_team, wait_for_checkpoint

pytestmark = pytest.mark.slow


def test_a_training_run_survives_a_server_outage(
    tmp_path: Path, tiny_pretrained: Path, empty_store: Path, prefect_database: Path
) -> None:
    home, folder, port = tmp_path / "server", tmp_path / "team", free_port()
    home.mkdir()
    shutil.copy(prefect_database, home)
    folder.mkdir()
    shutil.copy(empty_store, folder)
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        url = server.enter_context(prefect_server(home, port))
        stack.enter_context(temporary_settings({PREFECT_API_URL: url}))
        client = stack.enter_context(get_client(sync_client=True))
        environment = {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "3"}
        ours = make_team(
            "away", folder, tiny_pretrained, client, environment,
            train__epochs=30, runtime__checkpoint_seconds=1, orchestration__heartbeat_timeout_seconds=300,
        )  # fmt: skip
        stack.callback(ours.stop)
        create_pools(ours)
        ours.share_pool()
        ours.deploy()
        ours.start_worker("box", "cpu")
        run = ours.start_run()
        wait_for_checkpoint(ours, folder / "box")
        server.close()
        time.sleep(35)  # longer than the interval of heartbeats
        server.enter_context(prefect_server(home, port))
        assert ours.wait_for_completion(run) == f"Ran {', '.join(STAGES)}; away version 1"
        assert computed_each_once(ours)
