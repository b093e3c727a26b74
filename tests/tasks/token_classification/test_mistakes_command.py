"""`tuneline mistakes` on predictions of tags: all of them, those of a kind or type, and what it refuses."""

import shutil

import numpy as np
import pandas
import pyarrow as pa
import pytest

from stages.tasks.token_classification.scores.entities import taggings
from stages.tasks.token_classification.scores.predictions import Predictions, write_predictions
from tests.checkouts import ROOT, Project
from tests.tasks.token_classification.conftest import confuse, random_tags


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A folder that counts as a project, with the predictions of two splits."""
    folder = tmp_path_factory.mktemp("evaluated")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / "data/report").mkdir(parents=True)
    splits = {split: predictions_of(40, seed=seed) for seed, split in enumerate(("test", "dev"))}
    write_predictions(folder / "data/report/predictions.parquet", splits)
    return Project(folder)


def predictions_of(sentences: int, *, seed: int) -> Predictions:
    gold = random_tags(sentences, seed=seed)
    words = [[f"word{place}" for place in range(len(tags))] for tags in gold]
    probability_W = np.random.default_rng(seed).random(sum(map(len, gold)), np.float32)
    return Predictions(pa.array(words), *taggings(gold, confuse(gold, seed=seed)), probability_W)


def rows_of(project: Project, split: str) -> pandas.DataFrame:
    rows = pandas.read_parquet(project.folder / "data/report/predictions.parquet")
    return rows[rows["split"] == split]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_mistakes_are_the_sentences_whose_entities_differ(evaluated: Project, split: str) -> None:
    rows = rows_of(evaluated, split)
    correct = rows["correct_entities"]
    wrong = (correct < rows["gold_entities"]) | (correct < rows["predicted_entities"])
    report = evaluated.call_json("mistakes", "--split", split, "--limit", "3")
    assert report["count"] == wrong.sum() > 3
    assert len(report["mistakes"]) == 3
    for entry in report["mistakes"]:
        row = rows.iloc[entry["sentence"] - 1]
        assert entry["words"] == row["words"].tolist()
        assert len(entry["gold"]) == row["gold_entities"]
    shown = evaluated.call("mistakes", "--split", split, "--limit", "1").stdout
    assert "gold       " in shown
    assert f"1 of {report['count']} sentences of {split}" in shown


def test_mistakes_of_a_kind_about_a_type_are_those_that_have_both(evaluated: Project) -> None:
    whole = evaluated.call_json("mistakes", "--limit", "0")
    missed = evaluated.call_json("mistakes", "--kind", "missed", "--type", "PER", "--limit", "0")
    assert 0 < missed["count"] == len(missed["mistakes"]) < whole["count"]
    both = [entry for entry in whole["mistakes"] if "missed" in entry["kinds"] and "PER" in entry["types"]]
    assert missed["mistakes"] == both


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("--split", "train", "test, dev"),
        ("--kind", "wrong", "boundary"),
        ("--type", "per", "LOC, PER, creative-work"),
        ("--label", "per", "LOC, PER, creative-work"),
    ],
)
def test_mistakes_says_what_there_is(evaluated: Project, option: str, value: str, known: str) -> None:
    message = evaluated.call("mistakes", option, value, code=2).stderr
    assert f"{option} {value}: no such" in message
    assert known in message
