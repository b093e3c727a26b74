"""What sets a new version apart from the one before, in a real MLflow store, of versions without weights."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stages.artifacts import write_json
from stages.tasks.token_classification.scores.predictions import write_predictions
from stages.tracking.client import connect
from stages.tracking.parent import MODEL_FILES
from stages.tracking.predecessor import list_differences
from stages.tracking.registry import CHAMPION, DATA_TAG, Registration
from tests.registry.versions import predictions

NAME = "demo-ner"
DEMO = {"data/corpora/demo": "1.dir"}
ENGLISH = [f"Anna met Bo for the {number} th time" for number in range(200)]
GERMAN = [f"Anna traf Bo zum {number} ten Mal" for number in range(200)]
RUSSIAN = [f"Анна встретила Бо {number} раз" for number in range(200)]


@pytest.fixture
def client(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A registry with demo-ner/1, which was made from the demo corpus and knows LOC and PER."""
    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = connect()
    client.create_registered_model(NAME)
    client.create_experiment("tuneline", str(tmp_path / "artifacts"))
    add(client)
    return client


def add(
    client: MlflowClient, types: str = "LOC PER", text: list[str] = ENGLISH, data: dict[str, str] | None = DEMO
) -> Registration:
    run = client.create_run(client.get_experiment_by_name("tuneline").experiment_id).info.run_id
    words = [sentence.split() for sentence in text]
    tags = [["O"] * len(sentence) for sentence in words]
    half = len(words) // 2
    splits = {
        "test": predictions(words[:half], tags[:half], tags[:half]),
        "dev": predictions(words[half:], tags[half:], tags[half:]),
    }
    write_predictions(Path("predictions.parquet"), splits)
    client.log_artifact(run, "predictions.parquet", "report")
    model = Path("models", run).absolute()
    (model / MODEL_FILES).mkdir(parents=True)
    labels = ["O", *(f"{prefix}-{name}" for name in types.split() for prefix in "BI")]
    write_json(model / MODEL_FILES / "config.json", {"id2label": dict(enumerate(labels))})
    tags_of_version = {} if data is None else {DATA_TAG: json.dumps(data)}
    created = client.create_model_version(NAME, str(model), run, tags=tags_of_version)
    return Registration("a registry", NAME, int(created.version), "digest", run)


def test_other_types_than_those_of_the_version_before_are_named(client: MlflowClient) -> None:
    assert list_differences(add(client, "GPE.NAM PER")) == [
        "it does not know LOC, which demo-ner/1 knows",
        "it knows GPE.NAM, which demo-ner/1 does not know",
    ]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (ENGLISH, DEMO),
        (ENGLISH[:150] + GERMAN[:40], {"data/corpora/demo": "2.dir"}),  # sentences were replaced
        (ENGLISH[190:] + GERMAN[:190], {"data/corpora/letters": "3.dir"}),  # another split in another folder
        (RUSSIAN, DEMO),  # cannot be: the digest is that of the other's files
        (RUSSIAN, None),  # registered by an older Tuneline
    ],
)
def test_a_new_version_of_the_same_corpus_is_no_difference(
    client: MlflowClient, text: list[str], data: dict[str, str] | None
) -> None:
    assert list_differences(add(client, text=text, data=data)) == []


def test_another_corpus_and_another_script_are_named(client: MlflowClient) -> None:
    letters = {"data/corpora/letters": "3.dir"}
    foreign = (
        "it was made from data/corpora/letters, and none of the 200 sentences in its dev and test are among those of "
        "demo-ner/1, which was made from data/corpora/demo"
    )
    assert list_differences(add(client, text=GERMAN, data=letters)) == [foreign]
    client.set_registered_model_alias(NAME, CHAMPION, "1")
    assert list_differences(add(client, text=RUSSIAN, data=letters)) == [
        foreign,
        "its text is written in Cyrillic, that of demo-ner/1 is not",
    ]


def test_a_version_is_compared_with_the_champion_or_else_with_the_version_before(client: MlflowClient) -> None:
    second = add(client, "PER")
    assert list_differences(add(client, "PER")) == []
    client.set_registered_model_alias(NAME, CHAMPION, "1")
    assert list_differences(add(client, "PER")) == ["it does not know LOC, which demo-ner/1 knows"]
    client.set_registered_model_alias(NAME, CHAMPION, str(second.version))
    assert list_differences(second) == []


def test_without_a_version_before_or_its_files_there_is_nothing_to_say(client: MlflowClient) -> None:
    first = client.get_model_version(NAME, "1")
    assert list_differences(Registration("a registry", NAME, 1, "digest", first.run_id)) == []
    shutil.rmtree("artifacts")
    shutil.rmtree("models")
    assert list_differences(add(client, "PER")) == []
