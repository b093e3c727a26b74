"""The corpus of a version, fetched from a real git repository, its recorded changes, DVC's cache and its remote."""

import hashlib
import shutil
import subprocess
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.corpora.restore import data_digests, restore_corpus
from stages.errors import UserError
from stages.tracking.git import git_diff
from stages.tracking.lineage_record import FileEntry, LineageFiles
from tests.processes import BIN
from tests.registry.versions import RECORDED, stage

# DVC 3.67 reads it in the way that pygtrie is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

CORPUS = Path("data/corpora/mine")
FILES = {"train.conll": b"Anna B-PER\n", "dev.conll": b"Bonn B-LOC\n", "test.conll": b"rest O\r\n"}


def command(*words: str) -> str:
    executable = str(BIN / words[0]) if words[0] == "dvc" else words[0]
    return subprocess.run([executable, *words[1:]], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository with a commit, in which git keeps the corpus."""
    monkeypatch.chdir(tmp_path)
    command("git", "init", "--quiet")
    write(CORPUS, FILES)
    commit()
    return tmp_path


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def commit() -> str:
    command("git", "add", "--all")
    command("git", "commit", "--quiet", "--message", "data")
    return command("git", "rev-parse", "HEAD")


def lineage_of(inputs: dict[str, str], *, place: Path = CORPUS, diff: bytes = b"") -> LineageFiles:
    """The lineage files of a version that was registered at the current commit."""
    record = replace(
        RECORDED,
        git=replace(RECORDED.git, commit=command("git", "rev-parse", "HEAD")),
        params={"data": {"dir": str(place)}},
        stages={"tokenize": stage(*(FileEntry(path, digest) for path, digest in inputs.items()))},
    )
    return LineageFiles(b"", b"", diff, record)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def inputs_of(files: dict[str, bytes]) -> dict[str, str]:
    return {f"{CORPUS}/{name}": md5(content) for name, content in files.items()} | {"stages/tokenize.py": "0" * 32}


def content_of(version: LineageFiles, folder: Path) -> dict[str, bytes]:
    """The files that are fetched for a version; it leaves nothing else behind."""
    folder.mkdir()
    place = restore_corpus(version, folder)
    assert place == folder
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*"))}


def sorted_(files: dict[str, bytes]) -> dict[str, bytes]:
    return dict(sorted(files.items()))


def test_the_corpus_is_what_lies_in_its_folder_by_its_place_there() -> None:
    inputs = {"data/corpora/mine/de/train.conll": "1", "data/corpora/minerals.txt": "2", "stages/tokenize.py": "3"}
    read = stage(*(FileEntry(path, digest) for path, digest in inputs.items()))
    record = replace(RECORDED, params={"data": {"dir": "data/corpora/mine/"}}, stages={"tokenize": read})
    assert data_digests(LineageFiles(b"", b"", b"", record)) == {"de/train.conll": "1"}


def test_what_still_lies_here_is_not_copied(here: Path) -> None:
    assert content_of(lineage_of(inputs_of(FILES)), here / "work") == sorted_(FILES)
    assert (here / "work/train.conll").is_symlink()


def test_a_file_that_changed_since_comes_from_the_recorded_commit(here: Path) -> None:
    version = lineage_of(inputs_of(FILES))
    write(CORPUS, {"train.conll": b"changed\n"})
    commit()
    (CORPUS / "dev.conll").unlink()
    assert content_of(version, here / "work") == sorted_(FILES)


def test_a_file_that_was_not_committed_comes_from_the_recorded_changes(here: Path) -> None:
    changed = {
        **FILES,
        "train.conll": b"Anna B-PER\nslept O \n",
        "test.conll": b"\x00\xff binary\n",
        "more.conll": b"new O\n",
    }
    write(CORPUS, changed)
    version = lineage_of(inputs_of(changed), diff=git_diff([f"{CORPUS}/more.conll"]))
    command("git", "checkout", "--quiet", str(CORPUS))
    (CORPUS / "more.conll").unlink()
    assert content_of(version, here / "work") == sorted_(changed)
    assert command("git", "status", "--short", str(CORPUS)) == ""


def test_one_file_is_fetched_under_its_name(here: Path) -> None:
    place = CORPUS / "train.conll"
    version = lineage_of({str(place): md5(FILES["train.conll"])}, place=place)
    place.unlink()
    (here / "work").mkdir()
    assert restore_corpus(version, here / "work") == here / "work/train.conll"
    assert (here / "work/train.conll").read_bytes() == FILES["train.conll"]


@pytest.fixture(scope="module")
def kept_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose corpus DVC keeps, in its cache and its remote; nothing of it is left in its folder."""
    folder = tmp_path_factory.mktemp("kept")
    with chdir(folder):
        command("git", "init", "--quiet")
        write(CORPUS, FILES)
        command("dvc", "init", "--quiet")
        command("dvc", "add", "--quiet", str(CORPUS))
        command("dvc", "remote", "add", "--quiet", "--default", "store", "remote")
        command("dvc", "push", "--quiet")
        Path(".gitignore").write_text("remote/\n", encoding="utf-8")
        commit()
        shutil.rmtree(CORPUS)
    return folder


@pytest.fixture
def kept(kept_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of it."""
    shutil.copytree(kept_project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folder_digest() -> str:
    (line,) = [line for line in Path(f"{CORPUS}.dvc").read_text(encoding="utf-8").splitlines() if ".dir" in line]
    return line.split(": ")[1]


@pytest.mark.parametrize("gone", ["remote", ".dvc/cache"])
@pytest.mark.parametrize("has_listing", [True, False])
def test_files_of_dvc_come_from_its_cache_or_its_remote(kept: Path, gone: str, has_listing: bool) -> None:
    shutil.rmtree(kept / gone)
    version = lineage_of(inputs_of(FILES) if has_listing else {str(CORPUS): folder_digest()})
    assert content_of(version, kept / "work") == sorted_(FILES)


def test_a_damaged_object_is_not_taken(kept: Path) -> None:
    digest = md5(FILES["dev.conll"])
    cached = kept / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}"
    cached.chmod(0o644)
    cached.write_bytes(b"damaged\n")
    assert content_of(lineage_of(inputs_of(FILES)), kept / "work") == sorted_(FILES)


@pytest.mark.parametrize(("default", "reason"), [("store", ""), ("", " (it has no default remote here)")])
def test_a_file_that_is_nowhere_is_refused_in_one_line(kept: Path, default: str, reason: str) -> None:
    shutil.rmtree(kept / "remote")
    shutil.rmtree(kept / ".dvc/cache")
    config = Path(".dvc/config")
    config.write_text(config.read_text(encoding="utf-8").replace("remote = store", f"remote = {default}"))
    with pytest.raises(UserError) as raised:
        content_of(lineage_of(inputs_of(FILES)), kept / "work")
    assert str(raised.value) == (
        f"{CORPUS}/dev.conll with the MD5 {md5(FILES['dev.conll'])} is neither here nor in git at the recorded "
        f"commit, nor in DVC's cache or remote{reason}"
    )


def test_a_corpus_outside_a_project_without_dvc_is_refused(here: Path) -> None:
    version = lineage_of({"/elsewhere/train.conll": "0" * 32}, place=Path("/elsewhere"))
    with pytest.raises(UserError, match=r"^/elsewhere/train.conll with the MD5 0{32} is neither here .* \(.*\)$"):
        content_of(version, here / "work")
