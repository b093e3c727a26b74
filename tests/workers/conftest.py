"""A real Prefect server, and teams of worker processes that share no disk but remotes."""

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
    """The environment by which a Prefect server is found; it plans every five seconds.

    More often, or workers that ask it every second, and its SQLite is locked for a minute now and then.
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
