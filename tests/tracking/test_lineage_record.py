"""The lineage of a model: commit, patch, files by stage, files that no other checkout can have, and the model card."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from stages.artifacts import json_digest, write_json
from stages.errors import ArtifactError, UserError, without_password
from stages.register import require_unchanged
from stages.tracking import model_card
from stages.tracking.environment import current_environment, current_execution
from stages.tracking.git import GitState, git_diff, git_state, untracked_files
from stages.tracking.lineage_record import (
    RECORD,
    FileEntry,
    LineageFiles,
    LineageRecord,
    current_lineage,
    read_execution,
    read_lock,
    record_stage,
)
from stages.tracking.version_artifacts import load_task
from stages.training.record import TrainingRecord

# DVC 3.67 reads it in the way that pygtrie is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

CORPUS = Path("data/corpora/mine")
PARAMS = "data:\n  dir: data/corpora/mine\nmodel:\n  pretrained: org/encoder\nregister:\n  name: mine\n"
STAGES = """stages:
  tokenize: {cmd: "true", deps: [data/corpora/mine, stages/tokenize.py], outs: [data/encoded]}
"""
MODEL: dict[str, Any] = {
    "device": "cpu", "precision": "fp32", "threads": 1, "train_key": "4" * 64, "digest": "d" * 64
}  # fmt: skip
TASK = load_task("token_classification")
TRAINING = TrainingRecord(
    train_key="4" * 64,
    parameters={"model": {"pretrained": "org/encoder"}, "tokenize": {"window_length": 64}, "train": {"seed": 13}},
    datasets={"train": {"sentences": 1200, "words": 15000, "entities": 800}},
    device="cpu",
    precision="fp32",
    threads=1,
    best_epoch=1,
    dev_score=[0.5],
    decision={},
)


def git(*words: str, folder: Path | None = None, text: bytes | None = None) -> bytes:
    return subprocess.run(["git", *words], cwd=folder, input=text, capture_output=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository with one commit, and the dvc.lock of a tokenize that has run."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    with Repo.init() as repo, repo.config.edit() as config:
        config["core"] = {"analytics": False}
    for path, content in {
        CORPUS / "train.conll": b"Bonn B-LOC\n",
        CORPUS / "deep/dev.conll": b"Ulm B-LOC\n",
        Path("data/encoded/train.arrow"): b"\0\1\2",
        Path("stages/tokenize.py"): b"pass\n",
        Path("params.yaml"): PARAMS.encode(),
        Path("dvc.yaml"): STAGES.encode(),
        Path("picture.png"): bytes(range(256)),
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with Repo() as repo:
        repo.commit(force=True)
    git("add", "--all")
    git("commit", "--quiet", "--message", "start")
    return tmp_path


def lineage() -> LineageFiles:
    return current_lineage({}, **MODEL)


def test_the_patch_makes_the_current_files_from_the_commit(checkout: Path, tmp_path_factory: Any) -> None:
    assert git_diff([]) == b""
    Path("picture.png").write_bytes(bytes(range(255, -1, -1)))
    (CORPUS / "train.conll").write_bytes(b"Bonn B-LOC\r\n\xff I-LOC")
    Path("stages/new module.py").write_text("pass\n", encoding="utf-8")
    Path("params.yaml").write_text(f"{PARAMS}# changed\n", encoding="utf-8")
    status = git("status", "--porcelain")

    patch = git_diff(untracked_files("stages"))

    assert git("status", "--porcelain") == status  # the user's index is unchanged
    tree = tmp_path_factory.mktemp("tree")
    git("worktree", "add", "--quiet", "--detach", str(tree / "tree"))
    git("apply", "--binary", "--whitespace=nowarn", folder=tree / "tree", text=patch)
    for path in ("picture.png", "data/corpora/mine/train.conll", "stages/new module.py"):
        assert (tree / "tree" / path).read_bytes() == Path(path).read_bytes()
    assert (tree / "tree/params.yaml").read_text(encoding="utf-8") == PARAMS  # the record holds it in full


def test_only_what_git_keeps_makes_a_checkout_dirty(checkout: Path) -> None:
    commit = git("rev-parse", "HEAD").decode().strip()
    Path("notes.txt").write_text("mine", encoding="utf-8")
    Path("params.yaml").write_text(f"{PARAMS}# changed\n", encoding="utf-8")
    assert git_state() == GitState(commit, dirty=False, remote=None)
    Path("picture.png").write_bytes(b"")
    git("remote", "add", "origin", "https://me:secret@example.org/ner.git")
    assert git_state() == GitState(commit, dirty=True, remote="https://***@example.org/ner.git")


def test_without_a_repository_the_record_and_the_card_say_why_the_model_cannot_be_rebuilt(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shutil.rmtree(".git")
    files = lineage()
    reason = "the project is in no git repository"
    assert files.record.git == GitState(None, dirty=None, remote=None, reason=reason)
    assert (files.record.rebuildable, files.record.outside, files.diff) == (False, [], b"")
    folder = tmp_path_factory.mktemp("stored") / "lineage"
    files.write(folder)
    assert LineageFiles.read(folder) == files
    table = {"entity_strict": {"micro": scores(f1=0.75), "per_type": {}}}
    card = write_card(TRAINING, table, files.record)
    assert f"It cannot be rebuilt, for its code is not known: {reason}." in card


def test_no_lineage_is_recorded_if_git_refuses(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # a switch of git for its own tests
    with pytest.raises(UserError, match=r"git config --global --add safe.directory"):
        lineage()


def test_a_commit_of_another_project_does_not_rebuild_a_model(checkout: Path) -> None:
    git("rm", "--quiet", "--cached", "dvc.yaml")  # as where this project was unpacked inside another repository
    record = lineage().record
    assert (record.rebuildable, record.outside) == (False, ["dvc.yaml"])


def test_a_pipeline_that_is_not_yet_committed_is_rebuilt_from_the_patch(checkout: Path) -> None:
    folder = Path("examples/own")
    folder.mkdir(parents=True)
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        shutil.copyfile(name, folder / name)
    files = current_lineage({}, **MODEL, pipeline=folder)
    assert (files.record.rebuildable, files.record.outside, files.record.pipeline) == (True, [], "examples/own")
    assert b"+++ b/examples/own/dvc.yaml" in files.diff
    Path(".gitignore").write_text("/examples/own\n", encoding="utf-8")  # and so it is not in the patch either
    assert current_lineage({}, **MODEL, pipeline=folder).record.outside == ["examples/own/dvc.yaml"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:secret@example.org/x.git", "https://***@example.org/x.git"),
        ("postgresql://tuneline:secret@127.0.0.1/mlflow", "postgresql://***@127.0.0.1/mlflow"),
        ("git@example.org:x.git", "git@example.org:x.git"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_folders_are_expanded_to_the_files_that_dvc_recorded(checkout: Path) -> None:
    stage = record_stage(read_lock(Path("dvc.lock").read_bytes())["tokenize"])
    assert [file.path for file in stage.inputs] == [
        "data/corpora/mine/deep/dev.conll", "data/corpora/mine/train.conll", "stages/tokenize.py",
    ]  # fmt: skip
    assert [file.path for file in stage.outputs] == ["data/encoded/train.arrow"]
    (CORPUS / "train.conll").write_bytes(b"Bonn B-ORG\n")
    stage = record_stage(read_lock(Path("dvc.lock").read_bytes())["tokenize"])
    assert stage.inputs[0].path == "data/corpora/mine"  # a changed folder is not expanded
    assert stage.inputs[0].digest.endswith(".dir")


def test_a_corpus_in_git_or_in_dvc_is_available_elsewhere(checkout: Path) -> None:
    assert (lineage().record.rebuildable, lineage().record.outside) == (True, [])
    git("rm", "-r", "--quiet", "--cached", str(CORPUS))
    assert lineage().record.outside == [str(CORPUS)]
    with Repo() as repo:
        repo.add(str(CORPUS))
    assert lineage().record.outside == []


def test_an_untracked_file_and_a_place_outside_are_not_available_elsewhere(checkout: Path) -> None:
    (CORPUS / "more.conll").write_text("Trier B-LOC\n", encoding="utf-8")
    record = lineage().record
    assert (record.rebuildable, record.outside) == (False, [str(CORPUS / "more.conll")])
    Path("params.yaml").write_text(PARAMS.replace("data/corpora/mine", "/elsewhere/corpus"), encoding="utf-8")
    assert lineage().record.outside == ["/elsewhere/corpus"]


def test_the_patch_includes_the_file_by_which_dvc_tracks_a_folder(checkout: Path) -> None:
    git("rm", "-r", "--quiet", "--cached", str(CORPUS))
    with Repo() as repo:
        repo.add(str(CORPUS.parent))  # the folder around it
    assert git_diff([]).count(b"corpora.dvc") == 0
    files = lineage()
    assert (files.record.rebuildable, files.diff.count(b"+++ b/data/corpora.dvc")) == (True, 1)


def test_lineage_files_are_read_as_they_were_written(checkout: Path, tmp_path: Path) -> None:
    train = replace(current_execution(), mlflow_run="a" * 32)
    files = current_lineage({"tokenize": None, "train": train, "evaluate": train}, **MODEL)
    files.write(tmp_path / "lineage")
    again = LineageFiles.read(tmp_path / "lineage")
    assert again == files
    assert again.digests() == files.digests()


# record.json as the first version of this format wrote it.
STORED = """{
  "digest": "d0", "environment": {
    "cores": 2, "device": "cpu", "gpu": null, "packages": {"torch": "2.13.0"}, "platform": "Linux", "precision": "bf16",
    "processor": "EPYC", "python": "3.11.7", "threads": 2
  },
  "flow_run": null, "format_version": 1, "git": {"commit": "c0", "dirty": true, "remote": null}, "outside": [],
  "params": {"train": {"learning_rate": 5e-05}}, "rebuildable": true, "registered": "2026-05-01T12:00:00+00:00",
  "stages": {
    "register": {
      "command": "python -m stages.register", "inputs": [{"digest": "1", "path": "data/model/config.json"}],
      "made_by": {
        "commit": "c0", "dirty": true, "flow_run": null, "remote": null, "time": "2026-05-01T12:00:00+00:00"
      },
      "outputs": [], "params": {"register.name": "mine"}
    },
    "tokenize": {"command": "true", "inputs": [], "made_by": null, "outputs": [], "params": {}},
    "train": {
      "command": "true", "inputs": [], "outputs": [], "params": {},
      "made_by": {
        "commit": "c0", "dirty": true, "flow_run": "f", "mlflow_run": "a", "remote": null,
        "time": "2026-05-01T11:00:00+00:00"
      }
    }
  },
  "train_key": "4e"
}
"""


def test_a_stored_record_is_read_and_keeps_its_keys_and_its_digest(tmp_path: Path) -> None:
    stored = json.loads(STORED)
    for name, text in ((RECORD, STORED), ("dvc.lock", ""), ("params.yaml", "")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = LineageFiles.read(tmp_path)
    assert {"format_version": 1, **files.record.to_json()} == stored
    assert files.digests()[RECORD] == json_digest(stored)
    assert files.record.stages["register"].inputs == [FileEntry("data/model/config.json", "1")]
    train = files.record.stages["train"].made_by
    assert train is not None
    assert train.mlflow_run == "a"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "has format version 2, this Tuneline reads 1"),
        ({"stages": {"train": {}}}, r"record.json is damaged \(stages.train.command: Field required\)"),
        ({"git": None}, r"record.json is damaged \(git: "),
        ({"more": 1}, r"record.json is damaged \(unknown keys\)"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    for name in ("dvc.lock", "params.yaml"):
        (tmp_path / name).touch()
    write_json(tmp_path / RECORD, json.loads(STORED) | change)
    with pytest.raises(ArtifactError, match=message):
        LineageFiles.read(tmp_path)


def test_an_execution_is_read_as_it_was_synced(checkout: Path) -> None:
    execution = current_execution()
    assert execution.environment == current_environment()
    assert "mlflow_run" not in execution.to_json()
    write_json(Path("train.json"), execution.to_json())
    assert read_execution(Path("train.json")) == execution


def test_values_that_were_changed_during_the_training_run_are_listed(checkout: Path) -> None:
    training = replace(TRAINING, parameters={"model": {"pretrained": "org/encoder"}})
    require_unchanged(Path("params.yaml"), training)
    Path("params.yaml").write_text(PARAMS.replace("org/encoder", "org/other"), encoding="utf-8")
    with pytest.raises(UserError, match=r"model.pretrained: org/other in params.yaml, org/encoder in the training run"):
        require_unchanged(Path("params.yaml"), training)


def write_card(training: TrainingRecord, table: dict[str, Any], record: LineageRecord) -> str:
    metrics = {"dev": table, "test": table}
    return model_card.write_card("mine", training=training, config={}, metrics=metrics, record=record, task=TASK)


def scores(*, f1: float) -> dict[str, float]:
    return {"f1": f1, "precision": f1, "recall": f1, "f1_low": f1 - 0.1, "f1_high": f1 + 0.1, "support": 9}


def test_the_card_counts_the_sentences_that_were_left_out(checkout: Path) -> None:
    table = {"entity_strict": {"micro": scores(f1=0.75), "per_type": {}}}
    counts = {"sentences": 1200, "words": 15000, "entities": 800}
    training = replace(TRAINING, datasets={"train": counts | {"dropped": 3}, "test": counts | {"dropped": 1}})
    text = write_card(training, table, lineage().record)
    assert "Sentences left out for faults: 4 (`data.faulty: drop`)." in text
    assert "left out" not in write_card(TRAINING, table, lineage().record)


def test_the_card_has_task_data_scores_limits_and_lineage_and_fits_into_mlflow(checkout: Path) -> None:
    types = {f"A|TYPE{number:03}": scores(f1=number / 1000) for number in range(100)}
    table = {"entity_strict": {"micro": scores(f1=0.75), "per_type": types}}
    record = lineage().record

    text = write_card(TRAINING, table, record)

    assert len(text) <= model_card.LIMIT
    for words in (
        "# mine",
        "Fine-tuned from `org/encoder`",
        "| train | 1,200 | 15,000 | 800 |",
        "| test | all | 0.7500 | 0.7500 | 0.7500 | 0.6500 to 0.8500 | 9 |",
        "| test | A¦TYPE000 |",  # a bar would end the cell
        "The 20 types with the lowest F1 of 100.",
        "Reads at most 64 tokens at a time",
        f"Commit `{git('rev-parse', 'HEAD').decode().strip()}`",
        "`tuneline reproduce` rebuilds it",
    ):
        assert words in text
