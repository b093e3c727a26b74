"""A real Prefect server, and teams of worker processes that exchange data only through remotes."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.processes import free_port, prefect_server
from tests.workers.team import MakeTeam, Team, make_team

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables that point to a Prefect server, whose scheduler runs every five seconds.

    With shorter intervals, its own or that at which workers poll, its SQLite is sometimes locked for a minute.
    """
    home = tmp_path_factory.mktemp("server")
    with prefect_server(home, free_port(), PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="5") as url:
        yield {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "3"}


@pytest.fixture(scope="module")
def client(server: dict[str, str]) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: server["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def team(
    tmp_path: Path, tiny_pretrained: Path, server: dict[str, str], client: SyncPrefectClient
) -> Iterator[MakeTeam]:
    """Create teams with values of their params.yaml; at the end all of their processes are stopped."""
    teams: list[Team] = []

    def make(**values: Any) -> Team:
        folder = tmp_path / f"team{len(teams)}"
        folder.mkdir()
        teams.append(make_team(f"ner{next(numbers)}", folder, tiny_pretrained, client, server, **values))
        return teams[-1]

    yield make
    for each in teams:
        each.stop()
