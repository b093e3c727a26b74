"""Versions of each kind of model: registered, traced, compared, promoted on evidence, rolled back, used.

The tests of a kind go on in one pipeline, in this order.
"""

import re
from pathlib import Path

import pytest

from pipeline.checkout.layout import STAGES
from pipeline.checkout.status import StageState
from pipeline.registry.versions import SPLITS
from pipeline.runs import launch, seeds
from tests.checkouts import set_in
from tests.pages import visible_text
from tests.promises.conftest import Pipeline
from tests.promises.kinds import FOREIGN, ONE_OF_EACH_TASK, swap_examples

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

WEAK = ("train.epochs=1", "train.learning_rate=1e-6")


@pytest.fixture(scope="module")
def versions(pipeline: Pipeline) -> Pipeline:
    """A pipeline with a model that has learnt nothing, version 1, and one that has, version 2."""
    with set_in(pipeline.folder, *WEAK):
        pipeline.run()
    pipeline.run("train", "evaluate", "register")
    return pipeline


def test_versions_are_listed_with_their_primary_scores(versions: Pipeline) -> None:
    listed = [entry for entry in versions.json("models")["models"] if entry["name"] == versions.model]
    assert [(entry["version"], entry["aliases"]) for entry in listed] == [(2, ["challenger"]), (1, [])]
    metrics = versions.metrics()
    assert listed[0]["scores"] == {split: metrics[split]["primary"]["value"] for split in SPLITS}
    assert {entry["primary"]["name"] for entry in listed} == {metrics["test"]["primary"]["name"]}
    assert {entry["task"] for entry in listed} == {versions.kind.task}


def test_model_card_describes_the_task_and_its_scores(versions: Pipeline) -> None:
    from mlflow import MlflowClient

    card = MlflowClient().get_model_version(versions.model, "2").description
    for part in (
        versions.kind.score,
        "(100.0%), full",
        "## Data",
        "## Scores",
        "## Limits",
        "## Lineage",
        str(versions.corpus),
    ):
        assert part in card
    assert not re.search(FOREIGN[versions.kind.task], card)


def test_lineage_holds_every_file_of_the_own_task_and_none_of_another(versions: Pipeline, tmp_path: Path) -> None:
    lineage = versions.json("lineage", versions.model)
    assert (lineage["version"], lineage["altered"]) == (2, [])
    stages = lineage["stages"]
    assert set(stages) == set(STAGES)
    assert {path.as_posix() for path in versions.corpus.iterdir()} <= {
        file["path"] for file in stages["tokenize"]["inputs"]
    }
    for name, stage in stages.items():
        assert all(Path(file["path"]).is_file() for file in stage["outputs"])
        tasks = {Path(file["path"]).parts[2] for file in stage["inputs"] if file["path"].startswith("stages/tasks/")}
        assert tasks <= {versions.kind.task}
        assert name == "register" or (tasks and stage["made_by"]["commit"] == lineage["git"]["commit"])
    assert "stages.train --params" in versions.tuneline("lineage", versions.model)
    versions.tuneline("lineage", versions.model, "--html", str(tmp_path / "page.html"))
    assert versions.kind.score in (tmp_path / "page.html").read_text(encoding="utf-8")
    used = versions.json("lineage", "--data", str(versions.corpus))["versions"]
    assert {(versions.model, 1), (versions.model, 2)} <= {(each["name"], each["version"]) for each in used}


def test_versions_are_compared_by_the_primary_score(versions: Pipeline, tmp_path: Path) -> None:
    sides = (f"{versions.model}/1", f"{versions.model}/2")
    found = versions.json("compare", *sides)
    assert set(found["params"]) == {"train.epochs", "train.learning_rate"}
    assert (found["code"], found["environment"], found["note"]) == ([], [], None)
    test = found["scores"]["test"]
    assert test["second"] == pytest.approx(versions.metrics()["test"]["primary"]["value"])
    assert test["p_value"] < 0.05
    assert test["interval"][0] <= test["difference"] <= test["interval"][1]
    assert found["predictions"]["counts"]["fixed"] > 0
    assert versions.kind.score in versions.tuneline("compare", *sides)
    versions.tuneline("compare", *sides, "--html", str(tmp_path / "page.html"))
    assert not re.search(
        FOREIGN[versions.kind.task], visible_text((tmp_path / "page.html").read_text(encoding="utf-8"))
    )


def test_version_is_promoted_on_evidence_alone_and_rolled_back(versions: Pipeline) -> None:
    name, score = versions.model, versions.kind.score
    assert f"the first champion: {score} " in versions.tuneline("promote", name, "1")
    assert f"it is better: {score} " in versions.tuneline("promote", name, "2")
    worse = versions.tuneline("promote", name, "1", code=1)
    assert f"it is worse: {score} " in worse
    assert f"{name}/2 stays champion" in worse
    assert f"{name}/1 is champion again" in versions.tuneline("rollback", name)
    primary = versions.metrics()["test"]["primary"]
    floors = (f"register.gate.min_score={0.5 if versions.kind.is_error else 1.5}", "register.gate.max_forgetting=0.1")
    with set_in(versions.folder, *floors):
        below = versions.json("promote", name, "2", code=1)
        assert below["reasons"][0].startswith(f"{score} is {primary['value']:.4f}; register.gate.min_score is ")
        forced = versions.tuneline("promote", name, "2", "--force", "--reason", "a trial")
    assert "overridden by --force" in forced
    history = versions.json("history", name)
    moves = [(entry["action"], entry["source"], entry["target"]) for entry in history["entries"]]
    assert moves == [("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("force", 1, 2)]
    assert history["faults"] == []
    assert history["entries"][1]["evidence"]["p_value"] < 0.05
    assert f"it is better: {score} " in versions.tuneline("history", name)


def test_what_cannot_be_promoted_or_asked_of_the_history_is_refused(versions: Pipeline) -> None:
    if versions.model not in ONE_OF_EACH_TASK[:1]:
        pytest.skip("the same for all tasks")
    name = versions.model
    assert "--force needs --reason" in versions.tuneline("promote", name, "2", "--force", code=2)
    there = f"there is no {name}/7; there is {name}/1, {name}/2 @champion"
    assert there in versions.tuneline("promote", name, "7", code=2)
    assert "had no champion at 2026-05-01" in versions.tuneline("history", name, "--at", "2026-05-01")
    assert "not a date or time" in versions.tuneline("history", name, "--at", "may", code=2)


def test_mistakes_are_those_of_the_predictions(versions: Pipeline) -> None:
    found = versions.json("mistakes", "--split", "dev", "--limit", "0")
    assert len(found["mistakes"]) == found["count"]
    shown = versions.tuneline("mistakes", "--split", "dev", "--limit", "1")
    assert f"of {found['count']} " in shown


def test_champion_answers_a_line_of_text(versions: Pipeline, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text(f"{versions.kind.line}\n", encoding="utf-8")
    reference = f"{versions.model}@champion"
    (answer,) = versions.json("predict", reference, str(lines))["predictions"]
    assert answer.pop("text") == versions.kind.line.partition("\t")[0]
    assert answer
    assert versions.tuneline("predict", reference, str(lines)).startswith(versions.kind.line)


def test_seeds_have_a_mean_and_a_deviation(versions: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Prefect and DVC's cache, which tests/end_to_end/test_pipeline.py has."""
    if versions.model not in ONE_OF_EACH_TASK:
        pytest.skip("one kind of each task is enough")

    def run_here(states: list[StageState]) -> dict[str, list[str]]:
        stale = [state.name for state in states if not state.fresh]
        versions.run(*stale)
        return {"executed": stale, "restored": [], "fresh": [state.name for state in states if state.fresh]}

    for module in (launch, seeds):
        monkeypatch.setattr(module, "run_stale", run_here)
    model, params = (versions.folder / "data/model/model.safetensors").read_bytes(), versions.params.read_bytes()
    report = versions.json("run", "--seeds", "2")
    assert report["seeds"][1]["executed"] == ["train", "evaluate"]
    assert report["model"]["version"] == 2
    assert (versions.folder / "data/model/model.safetensors").read_bytes() == model
    assert versions.params.read_bytes() == params
    for split in SPLITS:
        values = [entry[split] for entry in report["seeds"]]
        assert values[0] == versions.metrics()[split]["primary"]["value"]
        assert report["mean"][split] == pytest.approx(sum(values) / 2)
        assert report["deviation"][split] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert versions.kind.score in versions.tuneline("run")


def test_champion_is_rescored_on_the_test_examples_of_another_version(versions: Pipeline) -> None:
    if versions.model not in ONE_OF_EACH_TASK:
        pytest.skip("one kind of each task is enough")
    swap_examples(versions.corpus)
    with set_in(versions.folder, *WEAK, "train.seed=2"):
        versions.run()
    found = versions.json("compare", f"{versions.model}/2", f"{versions.model}/3")
    assert found["data"]["counts"] == {"added": 0, "removed": 0, "relabelled": 0, "moved": 2}
    assert f"{versions.model}/2 was rescored on the test " in found["note"]
    assert found["scores"]["test"]["p_value"] is not None
    text = versions.tuneline("compare", f"{versions.model}/2", f"{versions.model}/3")
    assert "2 moved: in another split of the second" in text
