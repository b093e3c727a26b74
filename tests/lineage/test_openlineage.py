"""The events of `tuneline lineage --openlineage`."""

import importlib
import json
import pkgutil
import types
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs
import openlineage.client.generated
import pytest
from openlineage.client.event_v2 import RunEvent
from openlineage.client.facet_v2 import BaseFacet

from pipeline.lineage.openlineage import render_events, web_address
from tests.lineage.lineages import (
    COMMIT,
    ENCODED,
    FLOW_RUNS,
    MODEL,
    TRAINING_RUN,
    change_record,
    change_stage,
    execution,
    files_of,
    full_of,
    sample,
    scarce,
)
from tests.pages import HOSTILE

FACETS = {
    kind._get_schema(): kind
    for module in pkgutil.iter_modules(openlineage.client.generated.__path__)
    for kind in vars(importlib.import_module(f"openlineage.client.generated.{module.name}")).values()
    if isinstance(kind, type) and issubclass(kind, BaseFacet)
}


def assert_conforms(value: Any, kind: Any) -> None:
    """Assert that parsed JSON has a type of the client, whose classes are generated from the standard's schemas."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))  # nulls are left out
    if get_origin(kind) is list:
        for each in value:
            assert_conforms(each, get_args(kind)[0])
    elif get_origin(kind) is dict:
        for each in value.values():
            facet = FACETS[each["_schemaURL"]]
            assert issubclass(facet, get_args(kind)[1])
            assert facet is not get_args(kind)[1], "a custom facet"
            assert_conforms(each, facet)
    elif attrs.has(kind):
        fields, hints = attrs.fields(kind), get_type_hints(kind)
        assert value.keys() <= {field.name for field in fields}
        assert value.keys() >= {field.name for field in fields if field.default is attrs.NOTHING}
        for name, each in value.items():
            assert_conforms(each, hints[name])
    elif issubclass(kind, Enum):
        kind(value)
    else:
        assert type(value) is kind


@pytest.mark.parametrize("make", [sample, scarce, lambda: full_of(HOSTILE[0])], ids=["sample", "scarce", "hostile"])
def test_events_have_the_shape_of_the_standard(make: Any) -> None:
    events = [json.loads(line) for line in render_events(make()).splitlines()]
    assert [(each["job"]["name"], each["eventType"]) for each in events] == [
        (stage, kind) for stage in FLOW_RUNS for kind in ("START", "COMPLETE")
    ]
    for each in events:
        assert_conforms(each, RunEvent)
        assert each["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
        assert datetime.fromisoformat(each["eventTime"]).tzinfo
        UUID(each["run"]["runId"])


def test_events_have_runs_files_code_parameters_and_environment() -> None:
    events = {
        (each["job"]["name"], each["eventType"]): each for each in map(json.loads, render_events(sample()).splitlines())
    }
    train = events["train", "COMPLETE"]
    project = "https://example.org/team/ner"
    assert train["eventTime"] == "2026-05-01T09:00:00+00:00"
    assert train["job"]["namespace"] == project
    assert [(each["namespace"], each["name"]) for each in train["inputs"]] == [
        *((project, f"{ENCODED}/{name}") for name in ("dev.arrow", "manifest.json", "train.arrow")),
        ("pretrained", "encoders/tiny"),
    ]
    digest = files_of(MODEL, "config.json")[0].digest
    assert train["outputs"][0]["facets"]["version"]["datasetVersion"] == digest
    assert train["outputs"][0]["facets"]["dataSource"]["uri"] == project
    source = train["job"]["facets"]["sourceCodeLocation"]
    assert source["url"] == f"{project}/blob/{COMMIT}/stages/train.py"
    assert source["version"] == COMMIT
    assert {tag["key"] for tag in train["job"]["facets"]["tags"]["tags"]} == {"stages/artifacts.py", "stages/train.py"}
    facets = train["run"]["facets"]
    assert facets["parent"]["run"]["runId"] == FLOW_RUNS["train"]
    assert facets["processing_engine"]["version"] == "2.13.0+cpu"
    parameters = {each["key"]: each["value"] for each in facets["executionParameters"]["parameters"]}
    assert parameters["train.learning_rate"] == "5e-05"
    tags = {tag["key"]: tag["value"] for tag in facets["tags"]["tags"]}
    assert tags["mlflow_run"] == TRAINING_RUN
    assert tags["git_dirty"] == "false"
    assert tags["package.transformers"] == "5.23.0"
    version = events["register", "COMPLETE"]["outputs"][-1]
    assert (version["namespace"], version["name"]) == ("mlflow", "demo-ner")
    assert version["facets"]["version"]["datasetVersion"] == "3"


def test_events_say_that_an_execution_is_not_recorded() -> None:
    for each in map(json.loads, render_events(scarce()).splitlines()):
        assert each["eventTime"] == scarce().record.registered
        assert each["job"]["namespace"] == "tuneline"
        assert "parent" not in each["run"]["facets"]
        assert "sourceCodeLocation" not in each["job"]["facets"]
        if each["eventType"] == "COMPLETE":
            tags = {tag["key"]: tag["value"] for tag in each["run"]["facets"]["tags"]["tags"]}
            assert tags["computed_by"] == "unknown"
            assert ("python" in tags) == (each["job"]["name"] == "register")


def test_events_are_the_same_for_the_same_execution() -> None:
    other = change_record(replace(sample(), version=4), registered="2026-06-01T00:00:00+00:00")
    registration = replace(execution("register", 11, None), time=other.record.registered)
    other = change_stage(other, "register", made_by=registration)
    assert render_events(sample()) == render_events(sample())
    first, second = (
        {each["job"]["name"]: each["run"]["runId"] for each in map(json.loads, render_events(lineage).splitlines())}
        for lineage in (sample(), other)
    )
    assert [stage for stage in FLOW_RUNS if first[stage] == second[stage]] == ["tokenize", "train", "evaluate"]
    assert len(set(first.values())) == 4


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@example.org:team/ner.git", "https://example.org/team/ner"),
        ("example.org:ner", "https://example.org/ner"),
        ("ssh://git@example.org:2222/team/ner.git", "https://example.org/team/ner"),
        ("https://***@example.org/team/ner.git", "https://example.org/team/ner"),
        ("http://example.org:8080/ner", "http://example.org:8080/ner"),
        ("/srv/git/ner.git", None),
        ("../ner.git", None),
        ("file:///srv/git/ner.git", None),
        (None, None),
    ],
)
def test_web_address_of_a_repository(remote: str | None, address: str | None) -> None:
    assert web_address(remote) == address
