"""The house stays as CONTRIBUTING.md draws it: small rooms, no circles, and a place for each in the layers."""

import tomllib
from fnmatch import fnmatchcase
from typing import Any

import networkx as nx
import pytest

from tests.checkouts import ROOT
from tests.house import CONTRIBUTING, LOOSE, PACKAGES, House, mermaid, read_house, with_drawing

MOST_FILES = 12  # of a room; a larger one is divided


@pytest.fixture(scope="module")
def house() -> House:
    return read_house()


@pytest.fixture(scope="module")
def contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def test_drawing_in_contributing_is_current(house: House) -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert text == with_drawing(text, mermaid(house)), "run `python -m tests.house --write`"


def test_no_room_has_too_many_files(house: House) -> None:
    assert {room: len(modules) for room, modules in house.rooms.items() if len(modules) > MOST_FILES} == {}


@pytest.mark.parametrize("graph", ["room_imports", "module_imports"])
def test_no_circle_of_imports(house: House, graph: str) -> None:
    groups = nx.strongly_connected_components(getattr(house, graph))
    assert [sorted(group) for group in groups if len(group) > 1] == []


def test_each_room_has_its_place_in_the_layers(house: House, contracts: list[dict[str, Any]]) -> None:
    placed = {
        f"{container}.{name.strip()}"
        for contract in contracts
        if contract["type"] == "layers"
        for container in contract["containers"]
        for layer in contract["layers"]
        for name in layer.split("|")
    }
    independent = [
        pattern for contract in contracts if contract["type"] == "independence" for pattern in contract["modules"]
    ]
    loose = {f"{package}.{kind}" for package in PACKAGES for kind in LOOSE}
    members = {name for room, modules in house.rooms.items() for name in (modules if room in loose else [room])}
    assert {
        name for name in members - placed if not any(fnmatchcase(name, pattern) for pattern in independent)
    } == set()
