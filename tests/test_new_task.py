"""A new task is one folder: it runs through all stages, is served and promoted, and makes nothing else stale."""

import csv
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.checkout.layout import STAGES
from tests.checkouts import Project, checkout

TOY = Path(__file__).parent / "tasks/toy"
FOLDER = "examples/toy"
SPLITS = {"train": 60, "dev": 20, "test": 20}
NOUNS = ("soup", "bread", "coffee", "room", "bed", "view", "train", "driver", "seat", "ticket",
         "staff", "door", "table", "wine", "music", "light", "price", "bill", "street", "garden")  # fmt: skip
WORDS = {"awful": 0, "bad": 1, "fair": 2, "good": 3, "great": 4}
SETTINGS = ("tokenize.window_length=32", "tokenize.window_overlap=8", "train.epochs=12")


@dataclass(frozen=True)
class Added:
    """A checkout in which a task was added and a pipeline for it has run, which `pipeline` calls commands in."""

    project: Project
    pipeline: Project
    ran: list[str]  # the stages that `dvc repro` ran of all pipelines


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Iterator[Added]:
    with pytest.MonkeyPatch.context() as patch:
        project = checkout(tmp_path_factory.mktemp("project"), tiny_pretrained)
        patch.setenv("PYTHONPATH", str(project.folder))  # `tuneline` of this checkout
        make_fresh(project)
        shutil.copytree(TOY, project.folder / "stages/tasks/toy", ignore=shutil.ignore_patterns("__pycache__"))
        write_corpus(project.folder / "data/corpora/stars")
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        project.tuneline("new", FOLDER, "--task", "toy", "--data", "data/corpora/stars", *settings)
        shown = project.command("dvc", "repro", "--all-pipelines").stdout
        yield Added(project, Project(project.folder / FOLDER), re.findall("Running stage '(.*)'", shown))


def write_corpus(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = [(f"The {noun} was {word}.", WORDS[word]) for noun in NOUNS for word in WORDS]
    for split, count in SPLITS.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("text", "target"), *itertools.islice(rows, count)])


def make_fresh(project: Project) -> None:
    """Enter all pipelines in their dvc.lock as if they had run, with outputs that no stage has made."""
    (project.folder / "data/corpora/opinions").mkdir()
    for dag in [project.folder / "dvc.yaml", *project.folder.glob("examples/*/dvc.yaml")]:
        for stage in YAML(typ="safe").load(dag)["stages"].values():
            for out in stage["outs"]:
                (project.folder / out).parent.mkdir(parents=True, exist_ok=True)
                (project.folder / out).write_text("made")
    project.command("dvc", "commit", "--force", "--quiet")
    assert find_stale(project) == {}


def find_stale(project: Project) -> dict[str, Any]:
    """What DVC says of the stages that are not fresh, of all pipelines."""
    status: dict[str, Any] = json.loads(project.command("dvc", "status", "--json").stdout)
    return status


def test_it_runs_through_all_stages(added: Added) -> None:
    assert added.ran == [f"{FOLDER}/dvc.yaml:{stage}" for stage in STAGES]
    assert [name for name, state in added.pipeline.json("status")["stages"].items() if state["fresh"]] == list(STAGES)
    metrics = json.loads((added.pipeline.folder / "data/report/metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["primary"]["support"] == SPLITS["test"]
    assert metrics["test"]["primary"]["value"] > 1 / len(WORDS)  # than the best of answers that are always the same


def test_next_steps_are_right_where_they_are_shown(added: Added) -> None:
    shown = added.pipeline.tuneline("run").stdout
    (page,) = re.findall(r"open (\S+) in a browser", shown)
    (store,) = re.findall(r"--backend-store-uri sqlite:///(\S+)", shown)
    assert (added.pipeline.folder / page).read_text(encoding="utf-8") == "<title>toy</title>"
    assert (added.pipeline.folder / store).samefile(added.project.folder / "mlflow.db")


def test_no_pipeline_becomes_stale(added: Added) -> None:
    assert {lock.parent.name for lock in added.project.folder.glob("examples/*/dvc.lock")} > {"toy"}
    assert find_stale(added.project) == {}


def test_its_model_is_promoted_compared_and_used(added: Added) -> None:
    assert added.pipeline.json("promote", "toy")["verdict"] == "PROMOTE"
    (model,) = added.pipeline.json("models")["models"]
    assert (model["name"], model["version"], model["aliases"]) == ("toy", 1, ["champion"])
    (added.pipeline.folder / "texts").write_text("The soup was great.\nThe soup was awful.\n", encoding="utf-8")
    answers = added.pipeline.json("predict", "toy", "texts")["predictions"]
    assert [set(answer) for answer in answers] == [{"text", "number"}] * 2
    assert all(isinstance(answer["number"], int) for answer in answers)
    assert added.pipeline.json("lineage", "toy@champion")["name"] == "toy"
    assert added.pipeline.json("mistakes")["split"] == "test"


def test_a_part_that_it_leaves_out_is_named_where_it_is_needed(added: Added) -> None:
    finished = added.pipeline.tuneline("import", "../../data/corpora/stars", "copy", "--task", "toy", code=2)
    assert "the task toy cannot do this: it has no stages/tasks/toy/tools/importing.py" in finished.stderr
