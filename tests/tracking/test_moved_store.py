"""A SQLite store whose project was moved, copied or mounted elsewhere."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache as artifact_places

from stages.errors import RegistryError, TryAgainError
from stages.tracking.client import connect
from stages.tracking.store.moved import LOCATIONS, update_locations

PATHS = "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs ORDER BY 1"


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Connect from a project folder to its own store, as a new process would."""
    monkeypatch.chdir(folder)
    # With the folder in its name: MLflow keeps one open database for each URI, and one place for each run.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    artifact_places.clear()
    return connect()


def recorded(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "mlflow.db") as store:
        return [row[0] for row in store.execute(PATHS)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def original(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A project with an experiment, and a run of it with an artifact: the folder, and the id of the run."""
    folder = tmp_path / "100%_of it's mine"
    folder.mkdir()
    shutil.copy(empty_store, folder)
    client = enter(folder, monkeypatch)
    run = client.create_run(client.create_experiment("tuneline")).info.run_id
    client.log_text(run, "of the original", "model.txt")
    return folder, run


def test_a_moved_project_finds_its_artifacts_and_writes_new_ones_where_it_lies(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = original
    moved = folder.rename(tmp_path / "elsewhere")
    client = enter(moved, monkeypatch)
    assert [file.path for file in client.list_artifacts(run)] == ["model.txt"]
    for name in ("tuneline", "Default", "new"):
        experiment = client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else client.create_experiment(name)
        new = client.create_run(number).info.run_id
        client.log_text(new, "new", "model.txt")
        assert (moved / "mlruns" / number / new / "artifacts/model.txt").is_file()
    assert not folder.exists()


@pytest.mark.parametrize("with_artifacts", [True, False])
def test_a_copy_never_writes_into_its_original(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_artifacts: bool
) -> None:
    folder, run = original
    ignored = () if with_artifacts else ("mlruns",)
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns(*ignored))
    before = contents(folder)
    enter(copy, monkeypatch).log_text(run, "of the copy", "model.txt")
    assert (copy / "mlruns/1" / run / "artifacts/model.txt").read_text() == "of the copy"
    assert contents(folder) == before


def test_a_project_may_move_into_a_folder_of_its_old_place_and_back(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = original
    before = recorded(folder)
    inner = folder / "old/mlruns"
    shutil.copytree(folder, tmp_path / "aside")
    shutil.rmtree(folder)
    shutil.move(tmp_path / "aside", inner)
    assert [file.path for file in enter(inner, monkeypatch).list_artifacts(run)] == ["model.txt"]
    shutil.move(inner, tmp_path / "aside")
    shutil.rmtree(folder)
    shutil.move(tmp_path / "aside", folder)
    enter(folder, monkeypatch)
    assert recorded(folder) == before


@pytest.mark.parametrize("into", ["", "proj", "deep/proj"])
def test_a_project_and_a_copy_within_it_each_keep_to_themselves(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: str
) -> None:
    """The copy lies below the original, also under the same name; or, without a name, the original below the copy."""
    folder, run = original
    outer = folder.rename(tmp_path / "proj")
    enter(outer, monkeypatch)
    inner = outer / (into or "original")
    shutil.copytree(outer, tmp_path / "aside")
    shutil.move(tmp_path / "aside", inner)
    if not into:  # MLflow has recorded the inner one, of which the outer one is a copy
        enter(inner, monkeypatch)
        shutil.copy(inner / "mlflow.db", outer)
    for each in (outer, inner, outer):
        enter(each, monkeypatch).log_text(run, each.name, "place.txt")
        assert (each / "mlruns/1" / run / "artifacts/place.txt").read_text() == each.name


def test_artifacts_that_somebody_keeps_elsewhere_stay_there(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = original
    client = enter(folder, monkeypatch)
    chosen = ["s3://bucket/mlruns/7", str(tmp_path / "disk"), "mlflow-artifacts:/8"]
    for number, place in enumerate(chosen):
        client.create_experiment(f"chosen-{number}", place)
    monkeypatch.chdir(tmp_path)  # a program of somebody else uses the store from another folder
    others = tmp_path / "mlruns" / "9"
    others.mkdir(parents=True)
    with sqlite3.connect(folder / "mlflow.db") as store:
        store.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location) VALUES (9, 'others', ?)", [str(others)]
        )
    moved = folder.rename(tmp_path / "elsewhere")
    enter(moved, monkeypatch)
    inside = [str(moved / "mlruns" / name) for name in ("0", "1")]
    assert {*chosen, str(others), *inside} < set(recorded(moved))


def test_a_store_outside_the_project_is_left_alone(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = original
    (tmp_path / "project").mkdir()
    before = recorded(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.chdir(tmp_path / "project")
    connect()
    assert recorded(folder) == before


def test_two_processes_may_be_the_first_in_the_new_place(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = original[0].rename(tmp_path / "elsewhere")
    monkeypatch.chdir(moved)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(update_locations, [Path("mlflow.db")] * 8))
    assert all(Path(place).is_relative_to(moved) for place in recorded(moved))


def test_a_store_that_cannot_be_written_says_where_to_mount_the_project(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = original
    moved = folder.rename(tmp_path / "elsewhere")
    with sqlite3.connect(moved / "mlflow.db") as store:  # a file system that is read-only, even for root
        for table, column in LOCATIONS:
            store.execute(
                f"CREATE TRIGGER {table}_{column} BEFORE UPDATE ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'attempt to write a readonly database'); END"
            )
    monkeypatch.chdir(moved)
    with pytest.raises(RegistryError, match=r"it.s mine/mlruns, where.*readonly database") as refusal:
        update_locations(Path("mlflow.db"))
    assert not isinstance(refusal.value, TryAgainError)
    assert {Path(place).parts[: len(folder.parts)] for place in recorded(moved)} == {folder.parts}


def test_every_column_in_which_mlflow_records_a_path_is_known(original: tuple[Path, str]) -> None:
    """A new release of MLflow may have more."""
    with sqlite3.connect(original[0] / "mlflow.db") as store:
        names = [
            (table, column)
            for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for _, column, *_ in store.execute(f"PRAGMA table_info({table})")
        ]
    kinds = ("artifact_location", "artifact_uri", "storage_location")
    assert {(table, column) for table, column in names if column in kinds} <= {*LOCATIONS}


@pytest.mark.parametrize("workspaces", ["project/.tuneline/workspaces", "workspaces"], ids=["inside", "outside"])
def test_artifacts_of_a_worker_move_with_the_project_only_from_within(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, workspaces: str
) -> None:
    """A worker has filled the store of a project from a worktree of its own; the project itself has no artifacts."""
    worktree = tmp_path / workspaces / "train-0"
    worktree.mkdir(parents=True)
    (tmp_path / "project").mkdir(exist_ok=True)
    shutil.copy(empty_store, tmp_path / "project")
    monkeypatch.chdir(worktree)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/project/mlflow.db")
    client = connect()
    run = client.create_run(client.create_experiment("tuneline")).info.run_id
    client.log_text(run, "of the worker", "model.txt")
    before = recorded(tmp_path / "project")
    assert enter(tmp_path / "project", monkeypatch).list_artifacts(run)
    assert [place for place in recorded(tmp_path / "project") if "/mlruns/0" not in place] == [
        place for place in before if "/mlruns/0" not in place
    ]
    moved = (tmp_path / "project").rename(tmp_path / "moved")
    assert enter(moved, monkeypatch).list_artifacts(run)
