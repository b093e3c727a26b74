"""A finished project that is copied and moved, with DVC's cache on another disk and its files linked from there.

The tests of this file go on from one another, in this order.
"""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.checkouts import Project, set_in


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a registered model."""
    project.command("dvc", "cache", "dir", "--local", str(tmp_path_factory.mktemp("disk") / "cache"))
    project.command("dvc", "config", "--local", "cache.type", "symlink")
    project.command("dvc", "repro")
    return project


@pytest.fixture(scope="module")
def copy(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(shutil.copytree(finished.folder, tmp_path_factory.mktemp("copy") / "project", symlinks=True))


def test_a_model_whose_files_are_links_to_the_cache_is_uploaded_as_files(finished: Project) -> None:
    model = finished.folder / "data/model"
    assert (model / "model.safetensors").is_symlink()
    (upload,) = finished.folder.glob("mlruns/*/models/*/artifacts/artifacts/model")
    assert not any(path.is_symlink() for path in upload.rglob("*"))
    files = {path.relative_to(upload): content for path, content in contents(upload).items()}
    assert files == {path.relative_to(model): content for path, content in contents(model).items()}


def test_register_by_hand_writes_no_output_into_the_cache(finished: Project) -> None:
    """Through DVC, it finds no outputs: DVC removes them first."""
    assert (finished.folder / "data/registration.json").is_symlink()
    finished.command("python", "-m", "stages.register")
    assert not (finished.folder / "data/registration.json").is_symlink()


def test_a_copy_trains_and_registers_in_its_own_folder(finished: Project, copy: Project) -> None:
    before = contents(finished.folder)
    with set_in(copy.folder, "train.seed=14", "train.epochs=1"):
        copy.command("dvc", "repro")
    assert contents(finished.folder) == before
    assert len(list(copy.folder.glob("mlruns/*/models/*/artifacts/MLmodel"))) == 2


def test_all_commands_go_on_in_a_project_that_was_moved(copy: Project, tmp_path: Path) -> None:
    old = copy.folder
    moved = Project(Path(shutil.move(old, tmp_path / "renamed")))
    (moved.folder / "text.txt").write_text("Angela Merkel visited Siemens in Munich.\n", encoding="utf-8")
    assert len(moved.json("predict", "tiny-ner/1", "text.txt")["predictions"]) == 1
    assert moved.json("lineage", "tiny-ner/2")["altered"] == []
    users = moved.json("lineage", "--data", "data/corpora/demo")["versions"]
    assert {entry["version"] for entry in users} == {1, 2}
    assert moved.json("compare", "tiny-ner/1", "tiny-ner/2")["params"]
    assert moved.json("promote", "tiny-ner")["promoted"]
    unused = [each["what"] for each in moved.json("gc")["unreached"] if each["kind"] == "version"]
    assert [what.split()[0] for what in unused] == ["tiny-ner/1"]
    assert not old.exists()
    with sqlite3.connect(moved.folder / "mlflow.db") as store:
        places = [row[0] for row in store.execute("SELECT artifact_uri FROM runs")]
    assert all(Path(place).is_relative_to(moved.folder) for place in places)
