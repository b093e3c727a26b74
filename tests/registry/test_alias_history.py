"""The alias history in a real MLflow store: who was champion when, and how alterations are detected."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.registry import alias_history
from stages.errors import RegistryError, UserError
from stages.tracking.client import connect
from stages.tracking.registry import CHAMPION

NAME = "demo-ner"
DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
NONSENSE: list[dict[str, Any]] = [
    {},
    {"digest": "", "time": "noon"},
    {"digest": "", "number": "2"},
    {"digest": "", "more": 1},
]


@pytest.fixture
def client(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of a store with three versions of one model."""
    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = connect()
    client.create_registered_model(NAME)
    for number in (1, 2, 3):
        client.create_model_version(NAME, source=str(tmp_path / f"model{number}"))
    return client


def move(client: MlflowClient, target: int, action: str = "promote", *, days: int = 0) -> alias_history.Entry:
    return alias_history.move(
        client, NAME, action=action, target=target, model_digest=f"{target}" * 64, reason=f"{target} is better",
        evidence={"p_value": 0.01}, now=lambda: DAY + timedelta(days=days),
    )  # fmt: skip


def test_moves_are_recorded_in_order_and_say_who_was_champion_when(client: MlflowClient) -> None:
    for days, target in enumerate((1, 2, 3)):
        move(client, target, days=days)
    found = alias_history.read_history(client, NAME)
    assert found.faults == []
    assert [(entry.source, entry.target) for entry in found.entries] == [(None, 1), (1, 2), (2, 3)]
    assert found.champion_at(DAY - timedelta(hours=1)) is None
    for days, target in enumerate((1, 2, 3)):
        entry = found.champion_at(DAY + timedelta(days=days, hours=1))
        assert entry is not None
        assert entry.target == target
        assert found.champion_at(DAY + timedelta(days=days)) == entry
    assert client.get_registered_model(NAME).aliases == {CHAMPION: 3}


def test_rollbacks_go_back_one_champion_at_a_time(client: MlflowClient) -> None:
    for target in (1, 2, 3):
        move(client, target)
    assert alias_history.read_history(client, NAME).previous_champion() == 2
    move(client, 2, alias_history.ROLLBACK)
    assert alias_history.read_history(client, NAME).previous_champion() == 1
    move(client, 1, alias_history.ROLLBACK)
    assert alias_history.read_history(client, NAME).previous_champion() is None


def test_an_alias_that_was_moved_by_hand_is_reported(client: MlflowClient) -> None:
    move(client, 1)
    client.set_registered_model_alias(NAME, CHAMPION, "3")
    (fault,) = alias_history.read_history(client, NAME).faults
    assert fault.startswith("champion is version 3, but the last entry says version 1")
    move(client, 2)  # its entry holds the version that it replaced
    found = alias_history.read_history(client, NAME)
    assert (found.faults, found.entries[-1].source) == ([], 3)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_altered_entry_is_reported_by_its_number(client: MlflowClient, number: int) -> None:
    for target in (1, 2, 3):
        move(client, target)
    key = f"{alias_history.TAG_PREFIX}{number:06}"
    entry = json.loads(client.get_registered_model(NAME).tags[key])
    client.set_registered_model_tag(NAME, key, json.dumps(entry | {"who": "somebody else"}))
    assert alias_history.read_history(client, NAME).faults == [f"entry {number} was altered"]


def test_a_forged_or_deleted_entry_breaks_the_chain(client: MlflowClient) -> None:
    for target in (1, 2, 3):
        move(client, target)
    key = f"{alias_history.TAG_PREFIX}000002"
    fields = json.loads(client.get_registered_model(NAME).tags[key])
    del fields["digest"]
    forged = alias_history.Entry(**fields | {"who": "somebody else"})
    client.set_registered_model_tag(NAME, key, json.dumps(fields | {"who": forged.who, "digest": forged.digest}))
    broken = ["the chain is broken before entry 3: an entry was altered or deleted"]
    assert alias_history.read_history(client, NAME).faults == broken
    client.delete_registered_model_tag(NAME, key)
    assert alias_history.read_history(client, NAME).faults == broken
    for nonsense in ("nonsense", "[]", *(json.dumps(fields | change) for change in NONSENSE)):
        client.set_registered_model_tag(NAME, key, nonsense)
        found = alias_history.read_history(client, NAME)
        assert found.faults == [f"{key} is not a valid entry: it was altered", *broken]
        assert found.champion_at(DAY) == found.entries[-1]


def test_an_entry_under_another_number_breaks_the_chain(client: MlflowClient) -> None:
    for target in (1, 2):
        move(client, target)
    key = f"{alias_history.TAG_PREFIX}000002"
    client.set_registered_model_tag(
        NAME, f"{alias_history.TAG_PREFIX}000003", client.get_registered_model(NAME).tags[key]
    )
    client.delete_registered_model_tag(NAME, key)
    (fault,) = alias_history.read_history(client, NAME).faults
    assert fault.startswith("the chain is broken before entry 2")


def test_a_move_keeps_altered_entries_before_it(client: MlflowClient) -> None:
    for target in (1, 2):
        move(client, target)
    key = f"{alias_history.TAG_PREFIX}000002"
    client.set_registered_model_tag(NAME, key, "nonsense")
    move(client, 3)
    found = alias_history.read_history(client, NAME)
    assert found.faults == [f"{key} is not a valid entry: it was altered"]
    assert [entry.number for entry in found.entries] == [1, 3]


def test_a_deleted_entry_is_reported_once(client: MlflowClient) -> None:
    for target in (1, 2, 3, 1):
        move(client, target)
    client.delete_registered_model_tag(NAME, f"{alias_history.TAG_PREFIX}000002")
    (fault,) = alias_history.read_history(client, NAME).faults
    assert fault.startswith("the chain is broken before entry 3")


def test_of_two_simultaneous_moves_the_overwritten_one_moves_nothing(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(client, 1)
    write = client.set_registered_model_tag

    def write_and_overwrite(name: str, key: str, text: str) -> None:
        write(name, key, text)
        write(name, key, text.replace("2 is better", "another one is better"))

    monkeypatch.setattr(client, "set_registered_model_tag", write_and_overwrite)
    with pytest.raises(RegistryError, match="somebody else moved champion of demo-ner at the same moment"):
        move(client, 2)
    assert client.get_registered_model(NAME).aliases == {CHAMPION: 1}


def test_an_unknown_model_is_refused_with_a_list_of_the_known_ones(client: MlflowClient) -> None:
    with pytest.raises(UserError, match="no model is registered as other; there is demo-ner"):
        alias_history.read_model_history("other")
