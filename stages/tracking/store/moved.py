"""Keeps a SQLite store usable after its project was moved, copied or mounted elsewhere.

MLflow records where artifacts lie by absolute paths. A store inside the project has its artifacts in `mlruns` beside
it, unless somebody chose another place, so that these paths are wrong once the project lies elsewhere; in a copy, they
are those of the original.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from stages.errors import RegistryError

ARTIFACTS = "mlruns"  # MLflow's default folder, in the working directory of whoever makes the store
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
NO_STORE = ("SQLITE_ERROR", "SQLITE_NOTADB")  # no table of experiments, or no database
LOCK_SECONDS = 20  # to wait for another process that writes to the store


def update_locations(database: Path) -> None:
    """Replace the folders of artifacts that the store recorded before its project was moved here.

    The working directory is the root of the project. A store outside it, and artifacts that somebody chose to have
    elsewhere, stay as they are. RegistryError if the store cannot be written.
    """
    root = Path.cwd()
    if not database.resolve().is_relative_to(root):
        return
    with closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as store:
        try:
            moved = _find_moved(store, root, database.resolve().relative_to(root))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname in NO_STORE:  # MLflow makes its tables, or says what is wrong
                return
            raise
        try:
            with store:  # one transaction; a second process at the same time finds nothing more to replace
                for old, new in moved.items():
                    _replace(store, f"{old}/", f"{new}/")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_BUSY":
                raise
            raise RegistryError(
                f"{database} records its artifacts in {', '.join(map(str, moved))}, where the project lay before. The "
                f"paths cannot be updated: {error}. Make {root} writable, or mount the project at its old place."
            ) from error


def _find_moved(store: sqlite3.Connection, root: Path, name: Path) -> dict[Path, Path]:
    """The former folders of artifacts, each with the one in the project that takes its place.

    `name` is the path of the store below the root.

    A folder that still has artifacts, none of which came here, belongs to another program or worker that uses the
    store; unless a store lies beside it, of which this one is a copy without artifacts.
    """
    here = root / ARTIFACTS
    numbers: dict[Path, list[str]] = {}
    for number, location in store.execute("SELECT experiment_id, artifact_location FROM experiments"):
        folder = Path(location or "").parent
        if folder.is_absolute() and folder.name == ARTIFACTS and folder != here and location == f"{folder}/{number}":
            numbers.setdefault(folder, []).append(str(number))
    moved = {}
    for folder, inside in numbers.items():
        is_of_others = _holds(folder, inside) and not (folder.parent / name).exists()
        if is_of_others and folder.is_relative_to(root):
            continue
        new = next((place for place in _places(root, folder) if _holds(place, inside)), None)
        if new or not is_of_others:
            moved[folder] = new or here
    return moved


def _places(root: Path, folder: Path) -> list[Path]:
    """Where in the project a folder may have come to lie: with all of its former path below the root first."""
    places = [root.joinpath(*folder.parts[start:]) for start in range(1, len(folder.parts))]
    return [place for place in places if place != folder]


def _holds(folder: Path, experiments: list[str]) -> bool:
    """Whether a folder has artifacts of any of these experiments."""
    return any((folder / number).exists() for number in experiments)


def _replace(store: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in LOCATIONS:
        store.execute(
            f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
            f"WHERE substr({column}, 1, length(:old)) = :old",
            {"old": old, "new": new},
        )
