"""Promotions in a registry, of versions without a model; tests/promises promotes real ones."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from pipeline.registry import alias_history, gate, opponent
from pipeline.registry.gate import promote_new
from stages.artifacts import write_json
from stages.errors import RegistryError, UserError
from stages.tasks.token_classification.scores.predictions import Predictions, write_predictions
from stages.tracking.client import connect
from stages.tracking.parent import MODEL_FILES
from stages.tracking.registry import DIGEST_TAG
from stages.tracking.version_artifacts import TASK_TAG
from tests.registry.test_verdict import GATE, predictions

NAME = "demo-ner"


@pytest.fixture
def registry(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A registry with a champion, a better and a worse version, which have predictions only."""
    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = connect()
    client.create_registered_model(NAME)
    client.create_experiment("tuneline")
    for wrong in (40, 20, 60):  # versions 1, 2 and 3
        add_version(client, str(wrong), {"test": predictions(LOC=wrong, PER=wrong)})
    alias_history.move(client, NAME, action="promote", target=1, model_digest="40", reason="the first", evidence={})
    return client


def add_version(
    client: MlflowClient, digest: str, splits: dict[str, Predictions], labels: list[str] | None = None
) -> None:
    """Add a version; `labels` are those in the config of its model."""
    run = client.create_run(client.get_experiment_by_name("tuneline").experiment_id).info.run_id
    write_predictions(Path("predictions.parquet"), splits)
    client.log_artifact(run, "predictions.parquet", "report")
    source = Path(f"models/{digest}").absolute()
    if labels is not None:
        (source / MODEL_FILES).mkdir(parents=True)
        write_json(source / MODEL_FILES / "config.json", {"id2label": dict(enumerate(labels))})
    client.create_model_version(NAME, str(source), run, tags={DIGEST_TAG: digest})


def champion(client: MlflowClient) -> int:
    return int(client.get_registered_model(NAME).aliases["champion"])


def test_a_run_promotes_a_challenger_unless_the_gate_has_refused_it(
    registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert promote_new(NAME, GATE) is None  # no challenger
    registry.set_registered_model_alias(NAME, "challenger", "3")
    verdict = promote_new(NAME, GATE)
    assert verdict is not None
    assert verdict.startswith(f"REJECT {NAME}/3: it is worse")
    assert promote_new(NAME, GATE) is None
    registry.set_registered_model_alias(NAME, "challenger", "2")
    # It has no model to load: only the verdict is stored.
    with pytest.raises(UserError, match=f"{NAME}/2 is not what was registered"):
        promote_new(NAME, GATE)
    assert champion(registry) == 1
    monkeypatch.setattr(gate, "_load_checked", lambda _: None)
    verdict = promote_new(NAME, GATE)  # it was interrupted, so it is tried again
    assert verdict is not None
    assert verdict.startswith(f"PROMOTE {NAME}/2: it is better")
    assert registry.get_registered_model(NAME).aliases == {"champion": 2}


def test_a_champion_that_moves_while_the_challenger_is_loaded_is_not_overwritten(
    registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_else_is_faster(version: ModelVersion) -> None:
        alias_history.move(registry, NAME, action="force", target=3, model_digest="60", reason="mine", evidence={})

    monkeypatch.setattr(gate, "_load_checked", somebody_else_is_faster)
    with pytest.raises(RegistryError, match="became champion meanwhile"):
        gate.promote(NAME, 2, GATE)
    assert champion(registry) == 3


def test_verdicts_of_one_run_under_two_names_are_separate(registry: MlflowClient) -> None:
    run = registry.get_model_version(NAME, "3").run_id
    registry.create_registered_model("other")
    registry.create_model_version("other", f"runs:/{run}/model", run, tags={DIGEST_TAG: "60"})
    registry.set_registered_model_alias("other", "challenger", "1")
    gate.promote(NAME, 3, GATE)
    strict = GATE.model_copy(update={"min_score": 0.99})
    assert promote_new("other", strict) == "REJECT other/1: F1 is 0.9189; register.gate.min_score is 0.99"
    files = {file.path for name in (NAME, "other") for file in registry.list_artifacts(run, f"promotion/{name}")}
    assert files == {f"promotion/{NAME}/3-over-1.json", "promotion/other/1-over-none.json"}


@pytest.mark.parametrize(
    ("splits", "labels"),
    [
        ({"test": predictions(LOC=0, PER=0)}, ["O", "B-PER", "I-PER"]),  # LOC is in its test sentences alone
        ({"test": predictions(PER=0)}, None),  # its model is gone
    ],
)
def test_nothing_is_promoted_over_a_type_that_vanished_without_force(
    registry: MlflowClient, monkeypatch: pytest.MonkeyPatch, splits: dict[str, Predictions], labels: list[str] | None
) -> None:
    monkeypatch.setattr(gate, "_load_checked", lambda _: None)
    monkeypatch.setattr(opponent, "rescore_version", lambda *_: predictions(PER=40))
    add_version(registry, "persons", splits, labels)
    registry.set_registered_model_alias(NAME, "challenger", "4")
    line = promote_new(NAME, GATE)
    assert line is not None
    assert line.startswith(f"REJECT {NAME}/4: LOC vanished: this version does not know it, ")
    assert "without --force" in line
    assert champion(registry) == 1

    verdict, entry = gate.promote(NAME, 4, GATE, force=True, reason="only persons matter")
    assert (verdict["verdict"], verdict["forced"]) == ("REJECT", True)
    assert entry is not None
    assert entry.evidence["types"] == {"shared": ["PER"], "vanished": ["LOC"], "appeared": []}
    history = alias_history.read_model_history(NAME)
    assert (history.entries[-1].digest, history.faults) == (entry.digest, [])
    assert champion(registry) == 4


def test_a_type_that_occurs_in_no_sentence_is_known_by_the_config_of_the_model(
    registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_load_checked", lambda _: None)
    labels = ["O", "B-LOC", "I-LOC", "B-ORG.GOV", "I-ORG.GOV", "B-PER", "I-PER"]
    add_version(registry, "more", {"test": predictions(LOC=0, PER=0)}, labels)
    verdict, entry = gate.promote(NAME, 4, GATE)
    assert verdict["types"] == {"shared": ["LOC", "PER"], "vanished": [], "appeared": ["ORG.GOV"]}
    assert verdict["notes"] == ["types that the champion does not know are not compared: ORG.GOV"]
    assert (verdict["verdict"], entry is not None) == ("PROMOTE", True)


def test_a_version_of_another_task_is_not_compared_with_the_champion(registry: MlflowClient) -> None:
    registry.set_model_version_tag(NAME, "2", TASK_TAG, "regression")
    tasks = "their tasks are token_classification and regression"
    with pytest.raises(UserError, match=rf"{NAME}/1 and {NAME}/2 cannot be compared: {tasks}"):
        gate.promote(NAME, 2, GATE)
    assert champion(registry) == 1
