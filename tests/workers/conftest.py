"""A real Prefect server, and teams of worker processes that exchange data only through remotes."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.processes import free_port, prefect_server
from tests.workers.team import MakeTeam, Team, create_pools, make_team

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[dict[str, str]]:
    """The environment variables that point to a Prefect server, which workers poll every second.

    Marking late runs, in which no test is interested, would lock its SQLite most often.
    """
    home = tmp_path_factory.mktemp("server")
    shutil.copy(prefect_database, home)
    with prefect_server(home, free_port(), PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED="false") as url:
        yield {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "1"}


@pytest.fixture(scope="module")
def client(server: dict[str, str]) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: server["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_pretrained: Path,
    empty_store: Path,
    server: dict[str, str],
    client: SyncPrefectClient,
) -> Iterator[MakeTeam]:
    """Create teams with values of their params.yaml; at the end of the file all of their processes are stopped."""
    with ExitStack() as stack:

        def make(*, with_pools: bool = True, **values: Any) -> Team:
            name = f"ner{next(numbers)}"
            folder = tmp_path_factory.mktemp(name)
            shutil.copy(empty_store, folder)
            ours = make_team(name, folder, tiny_pretrained, client, server, **values)
            stack.callback(ours.stop)
            if with_pools:
                create_pools(ours)
            return ours

        yield make
