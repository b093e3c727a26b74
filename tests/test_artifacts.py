from pathlib import Path

import pytest

from stages.artifacts import atomic_write, folder_digest, write_json
from stages.errors import ArtifactError


def test_atomic_write_replaces_a_folder_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for content in ("old", "new"):
        with atomic_write(target) as folder:
            folder.mkdir()
            (folder / "file").write_text(content)
    assert (target / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("existing", [True, False])
def test_atomic_write_leaves_nothing_behind_when_the_body_fails(tmp_path: Path, existing: bool) -> None:
    target = tmp_path / "out.json"
    if existing:
        target.write_text("old")

    def write_half() -> None:
        with atomic_write(target) as path:
            path.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [entry.read_text() for entry in tmp_path.iterdir()] == (["old"] if existing else [])


def test_atomic_write_reports_what_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with (
        pytest.raises(ArtifactError, match=r"cannot write .*data/model.*Check permissions"),
        atomic_write(tmp_path / "data/model"),
    ):
        pass  # pragma: no cover - not reached


def test_folder_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1})
    digest = folder_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert folder_digest(tmp_path) != digest
    (tmp_path / "b").rename(tmp_path / "a")
    assert folder_digest(tmp_path) == digest
    write_json(tmp_path / "a", {"x": 2})
    assert folder_digest(tmp_path) != digest
