"""What `tuneline gc` shows and deletes, in a real checkout with git, DVC and an MLflow store, without any training.

The tests of this file use one checkout, in this order: those that delete come last.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from dvc.lock import LockError
from dvc.repo import Repo
from filelock import FileLock
from typer.testing import CliRunner

from pipeline.checkout.locks import DVC_LOCK, RUN_LOCK
from pipeline.cleanup.garbage import Garbage
from pipeline.cleanup.plan import cleanup_lock, delete, find_garbage
from pipeline.cli.care import commands
from pipeline.registry import alias_history
from stages.errors import RegistryError, UserError
from stages.tracking.client import connect, tracking_uri
from stages.tracking.lineage_record import RECORD
from stages.tracking.registry import DIGEST_TAG, MARKER
from stages.tracking.version_artifacts import FILE_TAG, lineage_folder
from tests.cleanup.used_checkout import CORPUS, NAME, NOW, STAGES, Checkout, fill_checkout, git, key, put

# DVC 3.67 reads it in the way that pygtrie is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
LATER = NOW + timedelta(days=2)


def in_cache(text: str) -> bool:
    digest = hashlib.md5(text.encode()).hexdigest()
    return Path(".dvc/cache/files/md5", digest[:2], digest[2:]).exists()


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, with the digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def checkpoint(name: str, *, days: float) -> Path:
    folder = Path(".checkpoints") / key(name)
    put(folder / "step-00000001", progress="1")
    moment = (NOW - timedelta(days=days)).timestamp()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (moment, moment))
    folder.with_name(f"{folder.name}.lock").touch()
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout after weeks of work: used and unused models in the registry, in commits and in DVC's cache."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # Absolute: MLflow opens a relative path in whatever folder it was first opened in.
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        git("init", "--quiet")
        with Repo.init() as repo, repo.config.edit() as config:
            config["core"] = {"remote": "store", "analytics": False}
            config["remote"] = {"store": {"url": str(tmp_path_factory.mktemp("remote"))}}
        Path("params.yaml").write_text("runtime:\n  checkpoint_dir: .checkpoints\n", encoding="utf-8")
        Path("dvc.yaml").write_text(STAGES, encoding="utf-8")
        Path(".gitignore").write_text(".tuneline/\n.checkpoints/\nmlflow.db*\nmlruns/\n", encoding="utf-8")
        CORPUS.mkdir(parents=True)
        yield fill_checkout(connect())


def found(kind: str, *, now: datetime = NOW) -> list[Garbage]:
    return [garbage for garbage in find_garbage(now=now) if garbage.kind == kind]


def test_a_version_is_unused_if_no_alias_no_entry_and_no_dvc_lock_refers_to_it(checkout: Checkout) -> None:
    (version,) = found("version")
    assert version.place == (NAME, str(checkout.versions["unreached"]))
    assert version.what.startswith(f"{NAME}/{checkout.versions['unreached']} of ")
    (upload,) = found("model")
    assert upload.size == sum(path.stat().st_size for path in Path("data/model").iterdir())


def test_runs_without_a_version_are_unused_once_they_are_old(checkout: Checkout) -> None:
    names = {run: name for name, run in checkout.runs.items()}
    assert {names[run.place[0]] for run in found("run")} == {"train-unreached", "abandoned", "old-encoding"}
    assert {names[run.place[0]] for run in found("run", now=LATER)} == {
        "train-unreached", "abandoned", "old-encoding", "fresh",
    }  # fmt: skip


def test_uploads_without_a_version_are_unused_once_they_are_old(checkout: Checkout) -> None:
    ours = checkout.upload(checkout.runs["fresh"], tags={DIGEST_TAG: "0" * 64})
    checkout.upload(checkout.runs["fresh"], tags={})
    checkout.upload(checkout.runs["of-others"], tags={DIGEST_TAG: "0" * 64})
    assert ours not in {model.place[0] for model in found("model")}
    more = {model.place[0] for model in found("model", now=LATER)} - {model.place[0] for model in found("model")}
    assert more == {ours}


def test_the_cache_keeps_what_commits_checkouts_and_versions_need(checkout: Checkout) -> None:
    gone = {path for garbage in found("cache") for path in garbage.place}
    kept = {str(path) for path in Path(".dvc/cache/files/md5").resolve().glob("??/*")} - gone
    texts = {path: Path(path).read_bytes().decode() for path in gone | kept}
    for model in checkout.locks:
        goes = model in ("unreached", "plain", "forgotten")  # nothing shows that the file belongs to the last one
        assert (f"weights of {model}" in {texts[path] for path in gone}) == goes
        assert (f"weights of {model}" in {texts[path] for path in kept}) != goes
        corpus = f"corpus {model}\n"
        assert (corpus in {texts[path] for path in gone}) == (model in ("unreached", "plain"))
    assert "the same for all" in {texts[path] for path in kept}


def test_uncommitted_files_of_a_worktree_count(checkout: Checkout, tmp_path: Path) -> None:
    git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    try:
        (tmp_path / "tree/dvc.lock").write_bytes(checkout.locks["unreached"])
        assert found("version") == []
    finally:
        git("worktree", "remove", "--force", str(tmp_path / "tree"))
    assert len(found("version")) == 1


def test_a_shared_cache_stays(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(".dvc/cache", tmp_path / "cache")
    Path(".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'cache'}\n", encoding="utf-8")
    lines: list[str] = []
    try:
        assert [each for each in find_garbage(now=NOW, on_line=lines.append) if each.kind == "cache"] == []
    finally:
        Path(".dvc/config.local").unlink()
    assert [line for line in lines if str(tmp_path / "cache") in line]


def test_a_broken_alias_history_keeps_all_versions_of_its_model(checkout: Checkout) -> None:
    tag = f"{alias_history.TAG_PREFIX}000001"
    before = checkout.client.get_registered_model(NAME).tags[tag]
    checkout.client.set_registered_model_tag(NAME, tag, "nonsense")
    lines: list[str] = []
    try:
        assert [each for each in find_garbage(now=NOW, on_line=lines.append) if each.kind == "version"] == []
    finally:
        checkout.client.set_registered_model_tag(NAME, tag, before)
    assert any("its alias history may not name all" in line and "is not a valid entry" in line for line in lines)


def test_older_stashes_count_too(checkout: Checkout) -> None:
    for model in ("unreached", "present"):
        Path("dvc.lock").write_bytes(checkout.locks[model])
        git("stash", "push", "--quiet", "--", "dvc.lock")
    try:
        assert found("version") == []
    finally:
        git("stash", "drop", "--quiet", "stash@{1}")
        git("stash", "pop", "--quiet")
        git("reflog", "expire", "--expire=now", "--all")


def test_without_the_registry_of_the_checkout_nothing_is_judged(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    MARKER.parent.mkdir(exist_ok=True)
    known = tracking_uri()
    MARKER.write_text(json.dumps({"tracking_uri": known}), encoding="utf-8")
    try:
        assert found("cache")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
        with pytest.raises(
            UserError, match=f"registered at {known}, which is not the current registry, sqlite:///other.db"
        ):
            find_garbage(now=NOW)
    finally:
        MARKER.unlink()
    lines: list[str] = []
    find_garbage(now=NOW, on_line=lines.append)
    assert lines == ["there is no registry at sqlite:///other.db; only commits and worktrees count"]


def test_a_running_stage_of_dvc_is_noticed(checkout: Checkout) -> None:
    program = "import sys, time; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, "dvc"], stdout=subprocess.PIPE) as stage:
        assert stage.stdout is not None
        stage.stdout.readline()
        DVC_LOCK.write_text(json.dumps({"write": {"data/model": {"pid": stage.pid, "cmd": "dvc repro"}}}))
        try:
            with pytest.raises(UserError, match="a stage of `dvc repro` is running here"), cleanup_lock(lambda _: None):
                pass
        finally:
            stage.kill()
            DVC_LOCK.unlink()


def test_a_copy_of_a_version_keeps_it(checkout: Checkout) -> None:
    checkout.client.copy_model_version(f"models:/{NAME}/{checkout.versions['unreached']}", "copy")
    try:
        assert found("version") == []
    finally:
        checkout.client.delete_registered_model("copy")


def test_a_version_without_its_record_stops_everything(checkout: Checkout) -> None:
    version = checkout.client.get_model_version(NAME, str(checkout.versions["champion"]))
    folder = lineage_folder(NAME, version.tags[f"{FILE_TAG}{RECORD}"])
    record = Path("mlruns", checkout.experiment, version.run_id, "artifacts", folder, RECORD)
    aside = record.rename(record.with_suffix(".aside"))
    try:
        with pytest.raises(UserError, match=rf"{NAME}/{checkout.versions['champion']}: .* nothing was deleted"):
            find_garbage(now=NOW)
    finally:
        aside.rename(record)


def test_only_old_checkpoints_that_no_training_run_uses_are_unused(checkout: Checkout) -> None:
    old, held = checkpoint("old", days=2), checkpoint("held", days=2)
    checkpoint("young", days=0.5)
    ended = Path(f".checkpoints/{key('ended')}.lock")
    ended.touch()
    with FileLock(f"{held}.lock"):
        assert [garbage.place for garbage in found("checkpoint")] == [(str(old), f"{old}.lock")]
        assert [garbage.place for garbage in found("lock")] == [(str(ended),)]
    with FileLock(ended):
        assert found("lock") == []


def test_folders_of_killed_commands_are_unused(checkout: Checkout) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    for name in (f"reproduce-{process.pid}-ab_c", f"import-{os.getpid()}-abc", "workspaces/train-0"):
        put(Path(".tuneline") / name, file="left")
    (left,) = found("leftover")
    assert (left.what, left.size) == (f".tuneline/reproduce-{process.pid}-ab_c", 4)


def test_a_dry_run_changes_no_byte_and_fetches_nothing(checkout: Checkout) -> None:
    before = contents(Path.cwd())
    shown = CliRunner().invoke(commands, ["gc"])
    assert shown.exit_code == 0, shown.output
    report = json.loads(CliRunner().invoke(commands, ["gc", "--dry-run", "--json"]).stdout)
    assert contents(Path.cwd()) == before
    assert report["deleted"] is False
    assert report["bytes"] == sum(entry["size"] or 0 for entry in report["unreached"])
    assert {entry["kind"] for entry in report["unreached"]} == {
        "version", "model", "run", "cache", "checkpoint", "lock", "leftover",
    }  # fmt: skip
    assert f"{len(report['unreached'])} unused" in shown.output
    assert "gc --yes" in shown.output


def test_both_options_together_are_refused(checkout: Checkout) -> None:
    assert isinstance(CliRunner().invoke(commands, ["gc", "--dry-run", "--yes"]).exception, UserError)


def test_nothing_is_deleted_while_the_registry_is_unreachable(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(Path(".dvc/cache")) | contents(Path(".checkpoints"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert isinstance(CliRunner().invoke(commands, ["gc", "--yes"]).exception, RegistryError)
    assert contents(Path(".dvc/cache")) | contents(Path(".checkpoints")) == before


def test_a_version_that_is_promoted_meanwhile_is_not_deleted(checkout: Checkout) -> None:
    (version,) = found("version")
    checkout.client.set_registered_model_alias(NAME, "canary", version.place[1])
    with pytest.raises(UserError, match="has been promoted meanwhile"):
        delete(version)
    checkout.client.delete_registered_model_alias(NAME, "canary")
    assert "unreached" in checkout.left()


def test_deletion_waits_for_a_run_in_this_checkout(checkout: Checkout) -> None:
    lock, lines = FileLock(RUN_LOCK), []

    def end_run(line: str) -> None:
        lines.append(line)
        lock.release()

    lock.acquire()
    with cleanup_lock(end_run), Repo() as repo:
        assert lines
        with pytest.raises(LockError):
            repo.lock.lock()


def test_deleting_keeps_everything_that_is_used_and_what_it_needs(checkout: Checkout) -> None:
    remote = contents(Path(Repo().config["remote"]["store"]["url"]))
    with FileLock(f".checkpoints/{key('held')}.lock"):
        finished = CliRunner().invoke(commands, ["gc", "--yes", "--json"])
        assert finished.exit_code == 0, finished.exception
        assert json.loads(finished.stdout)["deleted"] is True
        assert find_garbage(now=NOW) == []
    assert checkout.left() == set(checkout.versions) - {"unreached"}
    assert checkout.active_runs() == set(checkout.runs) - {"train-unreached", "abandoned", "old-encoding"}
    assert sorted(path.name for path in Path(".checkpoints").iterdir()) == sorted(
        f"{key(name)}{end}" for name in ("held", "young") for end in ("", ".lock")
    )
    assert {path.parent.name for path in Path(".tuneline").rglob("file")} == {f"import-{os.getpid()}-abc", "train-0"}
    assert contents(Path(Repo().config["remote"]["store"]["url"])) == remote
    for text in ("weights of unreached", "encoded unreached", "corpus unreached\n"):
        assert not in_cache(text)
    for model in ("committed", "was-champion", "by-hand", "champion", "shadow", "elsewhere"):
        restore(checkout.locks[model])
        assert Path("data/model/weights").read_text(encoding="utf-8") == f"weights of {model}"
        assert in_cache(f"corpus {'side' if model == 'committed' else model}\n")


def restore(lock: bytes) -> None:
    """Check out the files of a dvc.lock from the cache alone."""
    for folder in ("data/model", "data/encoded"):
        shutil.rmtree(folder)
    Path("dvc.lock").write_bytes(lock)
    with Repo() as repo:
        repo.checkout(["tokenize", "train"], force=True)
