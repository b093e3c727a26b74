"""The gate's verdicts on constructed predictions; tests/end_to_end/test_pipeline.py promotes real models."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from pipeline.registry import alias_history, gate
from pipeline.registry.gate import judge, promote_new
from stages.config.register import GateParams
from stages.errors import RegistryError, UserError
from stages.tasks.token_classification.entities import Tagging
from stages.tasks.token_classification.predictions import Predictions, write_predictions
from stages.tracking.client import connect
from stages.tracking.registry import DIGEST_TAG

NAME = "demo-ner"
GATE = GateParams(significance_level=0.05, min_f1=0.5, max_drop_per_type=0.05, max_latency_ms=None)
TAGS = ("B-LOC", "B-PER", "O")
SENTENCES = 400


def predictions(*, wrong_loc: int, wrong_per: int) -> Predictions:
    """Sentences of one LOC and one PER, with the LOC, or the PER, missed in the first so many."""
    gold = np.tile([0, 1], SENTENCES)
    predicted = gold.copy()
    predicted[0 : 2 * wrong_loc : 2] = 2
    predicted[1 : 2 * wrong_per : 2] = 2
    bounds = np.arange(0, 2 * SENTENCES + 1, 2)
    lists = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array(["word"] * 2 * SENTENCES))
    return Predictions(
        lists, Tagging(gold, bounds, TAGS), Tagging(predicted, bounds, TAGS), np.ones(2 * SENTENCES, np.float32)
    )


def test_the_first_version_must_only_pass_the_minimum_scores() -> None:
    verdict = judge(predictions(wrong_loc=40, wrong_per=40), None, GATE)
    assert (verdict.verdict, verdict.difference, verdict.p_value) == ("PROMOTE", None, None)
    assert verdict.per_type["LOC"] == (None, pytest.approx(0.9474, abs=1e-4))
    low = judge(predictions(wrong_loc=300, wrong_per=300), None, GATE)
    assert low.verdict == "REJECT"
    assert low.reasons == ["F1 is 0.4000; register.gate.min_f1 is 0.5"]


def test_a_better_version_is_promoted_and_a_slightly_better_one_held() -> None:
    champion = predictions(wrong_loc=40, wrong_per=40)
    better = judge(predictions(wrong_loc=20, wrong_per=20), champion, GATE)
    assert better.verdict == "PROMOTE"
    assert better.difference == pytest.approx(0.9744 - 0.9474, abs=1e-4)
    assert better.p_value is not None
    assert better.p_value < GATE.significance_level
    assert better.interval is not None
    assert better.interval[0] > 0
    assert f"p = {better.p_value:.4f}" in better.reasons[0]
    small = judge(predictions(wrong_loc=38, wrong_per=40), champion, GATE)
    assert small.verdict == "HOLD"
    assert small.reasons[0].startswith("the difference may be chance")


def test_a_worse_version_is_rejected_and_so_is_a_better_one_with_a_worse_type() -> None:
    champion = predictions(wrong_loc=40, wrong_per=40)
    worse = judge(predictions(wrong_loc=60, wrong_per=60), champion, GATE)
    assert worse.verdict == "REJECT"
    assert worse.reasons[-1].startswith("it is worse")
    trade = judge(predictions(wrong_loc=0, wrong_per=79), champion, GATE)
    assert trade.difference is not None
    assert trade.reasons[0] == "PER falls from 0.9474 to 0.8904; register.gate.max_drop_per_type is 0.05"
    assert trade.reasons[1].startswith("all types together: F1 ")
    assert f"p = {trade.p_value:.4f}" in trade.reasons[1]
    assert trade.verdict == "REJECT"


def test_a_version_over_its_latency_budget_is_rejected() -> None:
    gate = GATE.model_copy(update={"max_latency_ms": 20.0})
    slow = judge(predictions(wrong_loc=0, wrong_per=0), None, gate, latency_ms=31.25)
    assert slow.verdict == "REJECT"
    assert slow.reasons == ["a sentence takes 31.2 ms; register.gate.max_latency_ms is 20"]
    assert judge(predictions(wrong_loc=0, wrong_per=0), None, gate, latency_ms=20.0).verdict == "PROMOTE"


@pytest.fixture
def registry(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A registry with a champion, a better and a worse version, which have predictions only."""
    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = connect()
    client.create_registered_model(NAME)
    experiment = client.create_experiment("tuneline")
    for wrong in (40, 20, 60):  # versions 1, 2 and 3
        run = client.create_run(experiment).info.run_id
        write_predictions(tmp_path / "predictions.parquet", {"test": predictions(wrong_loc=wrong, wrong_per=wrong)})
        client.log_artifact(run, "predictions.parquet", "report")
        client.create_model_version(NAME, f"runs:/{run}/model", run, tags={DIGEST_TAG: str(wrong)})
    alias_history.move(client, NAME, action="promote", target=1, model_digest="40", reason="the first", evidence={})
    return client


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
    strict = GATE.model_copy(update={"min_f1": 0.99})
    assert promote_new("other", strict) == "REJECT other/1: F1 is 0.9189; register.gate.min_f1 is 0.99"
    files = {file.path for name in (NAME, "other") for file in registry.list_artifacts(run, f"promotion/{name}")}
    assert files == {f"promotion/{NAME}/3-over-1.json", "promotion/other/1-over-none.json"}
