"""What a version keeps, against a real MLflow server: made from a dirty tree, by two at once, killed, rebuilt.

The tests of this file go on in one checkout, in this order.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.checkout.params_file import apply_settings
from stages import register
from stages.tracking.lineage_record import RECORD
from stages.tracking.version_artifacts import FILE_TAG, lineage_folder
from tests import preloaded
from tests.checkouts import Project, checkout, set_in
from tests.gpu.children import Child
from tests.processes import PATIENCE, free_port, mlflow_server

pytestmark = pytest.mark.slow

NAME = "tiny-ner"
ADDED = "\nAngela B-PER\nMerkel I-PER\nslept O\n"


def register_until_killed(call: str) -> None:
    """Run the stage, of which a call of the client is the last thing that its process does."""

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(MlflowClient, call, die)
    register.main(Path("params.yaml"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real MLflow server, which keeps the artifacts too."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as url:
        yield url


@pytest.fixture(scope="module")
def client(server: str) -> MlflowClient:
    return MlflowClient(server)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, server: str) -> Iterator[Project]:
    """A checkout with a model made from changes that nobody has committed: of code, of the corpus, and a new module."""
    folder = tmp_path_factory.mktemp("team")
    project = checkout(folder / "project", tiny_pretrained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server)
        with (project.folder / "data/corpora/demo/train.conll").open("a", encoding="utf-8") as stream:
            stream.write(ADDED)
        (project.folder / "stages/extra.py").write_text('"""A module that is not committed."""\n', encoding="utf-8")
        with (project.folder / "stages/tokenize.py").open("a", encoding="utf-8") as stream:
            stream.write("\nimport stages.extra\n")
        project.command("dvc", "repro")
        yield project


def clone_of(project: Project, folder: Path) -> Project:
    """A clone of what is committed, as a colleague would have it; what DVC keeps comes from the same cache."""
    subprocess.run(["git", "clone", "--quiet", str(project.folder), str(folder)], check=True, capture_output=True)
    return Project(folder)


def altered(client: MlflowClient, run_id: str, file: str, old: bytes, new: bytes, work: Path) -> bytes:
    """Alter a lineage file, as anybody with access to the server could; return its previous content."""
    before = Path(client.download_artifacts(run_id, f"{place(client)}/{file}", str(work))).read_bytes()
    assert before.count(old) == 1
    put(client, run_id, file, before.replace(old, new), work)
    return before


def put(client: MlflowClient, run_id: str, file: str, content: bytes, work: Path) -> None:
    (work / file).write_bytes(content)
    client.log_artifact(run_id, str(work / file), place(client))


def place(client: MlflowClient) -> str:
    """The artifact folder with the lineage files of the first version."""
    return lineage_folder(NAME, client.get_model_version(NAME, "1").tags[f"{FILE_TAG}{RECORD}"])


def test_a_version_keeps_its_lineage(team: Project, client: MlflowClient, tmp_path: Path) -> None:
    version = client.get_model_version(NAME, "1")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=team.folder, capture_output=True, text=True, check=True)
    assert version.tags["tuneline.git_commit"] == head.stdout.strip()
    assert version.tags["tuneline.git_dirty"] == "true"
    assert version.tags["tuneline.rebuildable"] == "false"  # the tiny pretrained model lies outside
    assert "| test | all |" in version.description
    lineage = Path(client.download_artifacts(version.run_id, place(client), str(tmp_path)))
    assert (lineage / "params.yaml").read_bytes() == (team.folder / "params.yaml").read_bytes()
    diff = (lineage / "tree.diff").read_text(encoding="utf-8")
    for words in ("+Merkel I-PER", "+import stages.extra", "+++ b/stages/extra.py"):
        assert words in diff
    assert "dvc.lock" not in diff


def test_lineage_has_every_file_and_its_execution(team: Project) -> None:
    lineage = team.json("lineage", NAME)
    assert (lineage["version"], lineage["git"]["dirty"], lineage["altered"]) == (1, True, [])
    for stage in ("tokenize", "train", "evaluate"):
        assert lineage["stages"][stage]["made_by"]["commit"] == lineage["git"]["commit"]
        for entry in lineage["stages"][stage]["outputs"]:
            assert (team.folder / entry["path"]).is_file()
    assert lineage["stages"]["train"]["made_by"]["mlflow_run"] == lineage["mlflow_run"]
    assert lineage["stages"]["tokenize"]["made_by"]["mlflow_run"] != lineage["mlflow_run"]
    train = {entry["path"]: entry["digest"] for entry in lineage["stages"]["tokenize"]["inputs"]}
    used = team.json("lineage", "--data", train["data/corpora/demo/train.conll"][:12])["versions"]
    assert [(version["name"], version["version"], version["is_champion"]) for version in used] == [(NAME, 1, False)]


def test_a_cached_result_refers_to_the_run_that_computed_it(team: Project) -> None:
    before = (team.folder / "params.yaml").read_text(encoding="utf-8")
    with set_in(team.folder, "register.name=cached"):
        for made in ("dvc.lock", "data/encoded", "data/model", "data/report"):
            path = team.folder / made
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert team.command("dvc", "repro").stdout.count("is cached") == 3
    assert (team.folder / "params.yaml").read_text(encoding="utf-8") == before
    first, again = team.json("lineage", NAME)["stages"], team.json("lineage", "cached")["stages"]
    for stage in ("tokenize", "train", "evaluate"):
        assert again[stage]["made_by"] == first[stage]["made_by"]


@pytest.mark.parametrize("call", ["create_model_version", "set_registered_model_alias"])
def test_a_killed_registration_is_completed_by_the_next(team: Project, client: MlflowClient, call: str) -> None:
    name = f"killed-{call.split('_', maxsplit=1)[0]}"
    with set_in(team.folder, f"register.name={name}"):
        with chdir(team.folder):
            assert Child(register_until_killed, call).wait() is None, "it was not killed"
        assert not client.get_registered_model(name).aliases
        team.command("dvc", "repro", "--single-item", "register")
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert client.get_registered_model(name).aliases == {"challenger": version.version}
    # Nothing was uploaded twice: all versions of this run refer to one logged model.
    run = client.get_run(version.run_id)
    assert len(client.search_logged_models([run.info.experiment_id], f"source_run_id = '{version.run_id}'")) == 1


def test_two_simultaneous_registrations_make_one_version(team: Project, client: MlflowClient, tmp_path: Path) -> None:
    name = "at-once"
    processes, programs = [], preloaded.environment()
    command = [str(shutil.which("python", path=programs["PATH"])), "-m", "stages.register"]
    for number in range(2):
        folder = tmp_path / str(number)
        shutil.copytree(team.folder, folder, symlinks=True)
        shutil.rmtree(folder / ".tuneline")  # another checkout knows nothing of what this one has synced
        (folder / "params.yaml").write_text(apply_settings(folder / "params.yaml", [f"register.name={name}"]))
        processes.append(
            subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, **programs})
        )
    for process in processes:
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stderr
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert client.get_registered_model(name).aliases == {"challenger": version.version}


def test_a_clone_rebuilds_the_model_from_its_diff_bit_for_bit(
    team: Project, client: MlflowClient, tmp_path: Path
) -> None:
    clone = clone_of(team, tmp_path / "clone")
    before = sorted(path.relative_to(clone.folder) for path in clone.folder.rglob("*"))
    certificate = clone.json("reproduce", f"{NAME}/1")
    assert (certificate["verdict"], certificate["differences"]) == ("bit-identical", [])
    assert certificate["environment_differences"] == []
    assert client.get_model_version(NAME, "1").tags["tuneline.reproduced"].startswith("bit-identical at ")
    left = {path.relative_to(clone.folder) for path in clone.folder.rglob("*")} - set(before)
    assert {path.parts[0] for path in left} <= {".git", ".dvc", ".tuneline"}
    assert not list((clone.folder / ".tuneline").iterdir())
    assert not list((clone.folder / ".git").glob("worktrees/*"))


@pytest.mark.parametrize(
    ("file", "old", "new", "first"),
    [
        ("params.yaml", b"seed: 13 ", b"seed: 14 ", ("train", "input", "train.seed: 13 -> 14")),
        ("tree.diff", b"+slept O", b"+sleeps O", ("tokenize", "input", "data/corpora/demo changed")),
    ],
)
def test_what_was_altered_is_named_first(
    team: Project, client: MlflowClient, tmp_path: Path, file: str, old: bytes, new: bytes, first: tuple[str, str, str]
) -> None:
    run_id = client.get_model_version(NAME, "1").run_id
    before = altered(client, run_id, file, old, new, tmp_path)
    try:
        finished = team.tuneline("reproduce", f"{NAME}/1", "--json", code=1)
        assert team.json("lineage", f"{NAME}/1")["altered"] == [file]
    finally:
        put(client, run_id, file, before, tmp_path)
    certificate: dict[str, Any] = json.loads(finished.stdout)
    assert tuple(certificate["first_difference"].values()) == first
    assert certificate["altered"] == [file]
    assert certificate["verdict"] != "bit-identical"
    assert f"the recorded {file} is not the one that was registered" in finished.stderr


def test_history_reports_an_alias_moved_by_hand_and_an_altered_entry(team: Project, client: MlflowClient) -> None:
    assert team.json("promote", NAME)["promoted"]
    assert team.json("history", NAME)["faults"] == []
    client.delete_registered_model_alias(NAME, "champion")
    (fault,) = json.loads(team.tuneline("history", NAME, "--json", code=1).stdout)["faults"]
    assert "moved outside Tuneline" in fault
    client.set_registered_model_alias(NAME, "champion", "1")
    (key,) = [key for key in client.get_registered_model(NAME).tags if key.startswith("tuneline.ledger.")]
    entry = json.loads(client.get_registered_model(NAME).tags[key])
    client.set_registered_model_tag(NAME, key, json.dumps(entry | {"reason": "because I say so"}))
    assert "entry 1 was altered" in team.tuneline("history", NAME, code=1).stderr
    client.set_registered_model_tag(NAME, key, json.dumps(entry))
    assert team.json("history", NAME)["faults"] == []


def test_a_champion_that_was_scored_on_other_sentences_is_rescored(team: Project, client: MlflowClient) -> None:
    corpus = team.folder / "data/corpora/demo"
    train, test = ((corpus / f"{split}.conll").read_text(encoding="utf-8").split("\n\n") for split in ("train", "test"))
    (corpus / "test.conll").write_text("\n\n".join([train[0], *test[1:]]), encoding="utf-8")
    (corpus / "train.conll").write_text("\n\n".join(train[1:]), encoding="utf-8")
    with set_in(team.folder, "train.learning_rate=0.004", "register.gate.max_latency_ms=60000"):
        team.command("dvc", "repro")
        finished = team.command("tuneline", "promote", NAME, "--json", "--force", "--reason", "a trial")
    verdict = json.loads(finished.stdout)
    assert (verdict["challenger"], verdict["champion"], verdict["champion_scored_again"]) == (2, 1, True)
    (note,) = verdict["notes"]
    assert "other test sentences, and rescored on these: 39 of the 40 are among its own 40" in note
    assert (verdict["types"]["vanished"], verdict["types"]["appeared"]) == ([], [])
    assert 0 < verdict["p_value"] <= 1
    assert 0 < verdict["latency_ms"] < 60000
    run_id = client.get_model_version(NAME, "2").run_id
    assert [file.path for file in client.list_artifacts(run_id, f"promotion/{NAME}")] == [
        f"promotion/{NAME}/2-over-1.json"
    ]
    assert team.json("rollback", NAME)["target"] == 1


def test_two_versions_are_compared_on_the_sentences_of_the_second(team: Project, tmp_path: Path) -> None:
    names, page = (f"{NAME}/1", f"{NAME}/2"), tmp_path / "page.html"
    found = team.json("compare", *names)
    assert found["params"]["train.learning_rate"] == {"first": 0.005, "second": 0.004}
    assert found["code"] == []
    assert found["data"]["counts"] == {"added": 0, "removed": 1, "relabelled": 0, "moved": 1}
    assert found["note"] == f"{NAME}/1 was rescored on the test sentences of {NAME}/2"
    recorded = {version["version"]: version["scores"] for version in team.json("models")["models"]}
    assert found["scores"]["test"]["second"] == recorded[2]["test"]
    assert found["scores"]["dev"]["first"] == recorded[1]["dev"]
    assert found["scores"]["dev"]["p_value"] is not None
    shown = team.tuneline("compare", *names, "--html", str(page))
    assert (shown.stdout, shown.stderr) == ("", f"wrote {page}\n")
    assert f"{NAME}/1 was rescored" in page.read_text(encoding="utf-8")
    assert "1 moved: in another split of the second" in team.tuneline("compare", *names).stdout


def test_a_version_with_other_types_is_warned_of_and_not_promoted(team: Project) -> None:
    before = team.json("history", NAME)
    for path in (team.folder / "data/corpora/demo").glob("*.conll"):
        path.write_text(re.sub(r" ([BI])-", r" \1-NEW.", path.read_text(encoding="utf-8")), encoding="utf-8")
    finished = team.command("dvc", "repro")
    warned = finished.stdout + finished.stderr
    assert re.search(rf"warning: {NAME}/3: it does not know LOC, .*, which {NAME}/1 knows", warned)
    assert f"warning: {NAME}/3: it knows NEW.LOC, " in warned
    assert "none of the" not in warned  # the text is the same
    refused = team.tuneline("promote", NAME, code=1).stdout
    assert "LOC vanished: this version does not know it, the champion's F1 on it is 0." in refused
    assert "nothing can be compared: there is no type that both know" in refused
    assert "note: the champion was registered with " in refused
    assert team.json("history", NAME) == before
